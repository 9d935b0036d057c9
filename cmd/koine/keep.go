package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// keeper keeps an instance registered between start and stop. It removes only an instance that it has registered
// itself.
type keeper struct {
	cmd          *cobra.Command
	client       *client.Client
	registration catalog.Registration
	// registrant distinguishes its own registration from those of others.
	registrant string
	// said is the last printed error; it is not repeated.
	said string

	// registered is set while the server has the instance, as far as this process knows.
	registered bool
	// replaced is set once another registrant has registered the id, which from then on belongs to that one.
	replaced bool

	cancel context.CancelFunc
	done   chan struct{} // closed once the instance is out of the answers
}

// newRegistrant returns a name that no other process has, and that people can recognize.
func newRegistrant() string {
	return fmt.Sprintf("process %d on %s (%.8s)", os.Getpid(), thisHost(), uuid.NewString())
}

// start registers the instance, and renews it until stop.
func (k *keeper) start(ctx context.Context) {
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.done = make(chan struct{})
	go k.keep(ctx, k.done)
}

// stop takes the instance out of the answers. The channel is closed once it is out, or the server has not answered in time.
func (k *keeper) stop() <-chan struct{} {
	k.cancel()
	return k.done
}

// writeTimeout bounds one write, and so the delay of the command's end by a server that hangs.
const writeTimeout = 2 * time.Second

// keep registers an instance, renews it before its TTL ends, and deregisters it when the context ends.
func (k *keeper) keep(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(time.Duration(k.registration.Instance.Owner.TTL) / 3)
	defer ticker.Stop()
	for !k.replaced {
		k.sign(ctx)
		select {
		case <-ctx.Done():
			k.deregister(ctx)
			return
		case <-ticker.C:
		}
	}
	<-ctx.Done()
}

// sign renews the registration, or registers if there is none.
func (k *keeper) sign(ctx context.Context) {
	node, id := k.registration.Instance.Node, k.registration.Instance.ID
	if k.registered {
		err := k.call(ctx, func(ctx context.Context) error { return k.client.Renew(ctx, node, id) })
		switch catalog.KindOf(err) {
		case catalog.KindConflict:
			k.replaced = true
			say(k.cmd, "%s: the command goes on, and is not registered again", errorBody(err).Error.Message)
			return
		case catalog.KindNotFound: // its lease has ended
			k.registered = false
		default:
			k.say("renew", err)
			return
		}
	}
	err := k.call(ctx, func(ctx context.Context) error {
		_, err := k.client.Register(ctx, k.registration)
		return err
	})
	k.registered = err == nil
	k.say("register", err)
}

// deregister removes the instance, even if the server never confirmed its registration: the answer may have been lost.
func (k *keeper) deregister(ctx context.Context) {
	if k.replaced {
		return
	}
	k.registered = false
	err := k.call(ctx, func(ctx context.Context) error {
		_, err := k.client.Deregister(ctx, k.registration.Instance.Node, k.registration.Instance.ID)
		return err
	})
	switch catalog.KindOf(err) {
	case catalog.KindNotFound, catalog.KindConflict: // gone already, or another registrant's by now
	default:
		k.say("deregister", err)
	}
}

// call makes one call under the keeper's name. A call under way is finished when the context ends: an abandoned
// registration could reach the server after the deregistration.
func (k *keeper) call(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return call(catalog.WithCaller(ctx, catalog.Caller{Registrant: k.registrant}))
}

// say prints an error, once until a different one occurs.
func (k *keeper) say(operation string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != k.said {
		say(k.cmd, "%s %s: %s", operation, k.registration.Instance.ID, text)
	}
	k.said = text
}
