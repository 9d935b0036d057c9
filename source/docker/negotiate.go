package docker

import (
	"context"
	"sync/atomic"

	"github.com/moby/moby/client"
)

// negotiator is a client of an engine whose version may change. The client library agrees with the engine upon a version of the API
// once, and keeps to it: after an upgrade that has raised the engine's lowest version, or a downgrade, every call would be refused
// for ever. Only a new client asks for the version again.
type negotiator struct {
	create func() (*client.Client, error)
	now    atomic.Pointer[client.Client]
}

func newNegotiator(create func() (*client.Client, error)) (*negotiator, error) {
	n := &negotiator{create: create}
	c, err := create()
	n.now.Store(c)
	return n, err
}

// again makes the next call agree with the engine upon a version. Calls under way go on with the one before.
func (n *negotiator) again() {
	if c, err := n.create(); err == nil {
		_ = n.now.Swap(c).Close() // its unused connections only
	}
}

func (n *negotiator) Events(ctx context.Context, o client.EventsListOptions) client.EventsResult {
	return n.now.Load().Events(ctx, o)
}

func (n *negotiator) ContainerList(ctx context.Context, o client.ContainerListOptions) (client.ContainerListResult, error) {
	return n.now.Load().ContainerList(ctx, o)
}

func (n *negotiator) ContainerInspect(ctx context.Context, id string, o client.ContainerInspectOptions) (client.ContainerInspectResult, error) {
	return n.now.Load().ContainerInspect(ctx, id, o)
}

func (n *negotiator) NetworkList(ctx context.Context, o client.NetworkListOptions) (client.NetworkListResult, error) {
	return n.now.Load().NetworkList(ctx, o)
}

func (n *negotiator) NetworkInspect(ctx context.Context, id string, o client.NetworkInspectOptions) (client.NetworkInspectResult, error) {
	return n.now.Load().NetworkInspect(ctx, id, o)
}

func (n *negotiator) ImageInspect(ctx context.Context, image string, o ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	return n.now.Load().ImageInspect(ctx, image, o...)
}

func (n *negotiator) ServiceInspect(ctx context.Context, id string, o client.ServiceInspectOptions) (client.ServiceInspectResult, error) {
	return n.now.Load().ServiceInspect(ctx, id, o)
}

func (n *negotiator) DaemonHost() string { return n.now.Load().DaemonHost() }
