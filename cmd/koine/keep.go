package main

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/pause"
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

	// sent is set once a registration may have reached the server, even if its answer was lost.
	sent bool
	// confirmed is set once the server has confirmed a registration: another registrant's is then a later one.
	confirmed bool
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

// writeTimeout bounds one write, and all that is left to write after stop: a server that hangs delays a signal for the
// command, or the end of koine, by no more.
const writeTimeout = 2 * time.Second

// keep registers an instance, renews it before its TTL ends, and deregisters it when the context ends.
func (k *keeper) keep(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	leaving, cancel := outlasting(ctx, writeTimeout)
	defer cancel()
	period, failures := time.Duration(k.registration.Instance.Owner.TTL)/3, 0
	for !k.replaced {
		next := time.Now().Add(period)
		if err := k.sign(ctx); err == nil {
			failures = 0
		} else {
			failures++
			next = time.Now().Add(min(period, pauseAfter(failures)))
		}
		if ctx.Err() != nil || !pause.For(ctx, time.Until(next)) {
			k.deregister(leaving)
			return
		}
	}
	<-ctx.Done()
}

// outlasting returns a context that ends a time after another one, as by its deadline.
func outlasting(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		time.AfterFunc(by, func() { cancel(context.DeadlineExceeded) })
	})
	return longer, func() { forget(); cancel(nil) }
}

// pauseAfter returns the pause before the next attempt after a number of failed ones in a row. It is at least the second
// for which a server that is not ready asks.
func pauseAfter(failures int) time.Duration {
	const first, longest = time.Second, 5 * time.Second
	return min(first<<min(failures-1, 3), longest)
}

// sign renews the registration, or registers if the server has none. Once a registration may have reached the server,
// only the answer that there is none allows the next: a lost answer does not tell who has registered the id since.
func (k *keeper) sign(ctx context.Context) error {
	if k.sent {
		if err := k.renew(ctx); catalog.KindOf(err) != catalog.KindNotFound || ctx.Err() != nil {
			return err
		}
	}
	return k.register(ctx)
}

// renew returns an error of KindNotFound if the server has no registration. It ends with the context: a renewal does no
// harm after the deregistration.
func (k *keeper) renew(ctx context.Context) error {
	err := k.call(ctx, func(ctx context.Context) error {
		return k.client.Renew(ctx, k.registration.Instance.Node, k.registration.Instance.ID)
	})
	if ctx.Err() != nil { // it is not wanted any more
		return err
	}
	switch catalog.KindOf(err) {
	case catalog.KindNotFound: // its lease has ended, or it was never registered
		return err
	case catalog.KindConflict:
		if k.confirmed { // otherwise the other one may be the remains of a killed process, which end with their lease
			k.replaced = true
			say(k.cmd, "%s: the command goes on, and is not registered again", errorBody(err).Error.Message)
			return err
		}
	default:
	}
	k.confirmed = k.confirmed || err == nil
	k.say("renew", err)
	return err
}

// register finishes even if the context ends meanwhile, but leaves time for the deregistration: an abandoned registration
// could reach the server after that.
func (k *keeper) register(ctx context.Context) error {
	ctx, cancel := outlasting(ctx, writeTimeout/2)
	defer cancel()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	err := k.call(traced, func(ctx context.Context) error {
		_, err := k.client.Register(ctx, k.registration)
		return err
	})
	// A server that is not ready has written nothing.
	k.sent = k.sent || connected.Load() && catalog.KindOf(err) != catalog.KindNotReady
	k.confirmed = k.confirmed || err == nil
	k.say("register", err)
	return err
}

// deregister removes the instance, even if the server never confirmed its registration: the answer may have been lost.
func (k *keeper) deregister(ctx context.Context) {
	if k.replaced {
		return
	}
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

// call makes one call under the keeper's name.
func (k *keeper) call(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
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
