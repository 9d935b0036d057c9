package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/koine-sd/koine/catalog"
)

// Register writes one instance with its checks, owned by a lease or permanent. An empty node means the server's own. The
// same registration again renews the lease and writes nothing. It returns a revision at which the catalog holds it.
//
// A context with a catalog.Caller that names its registrant makes the registration that registrant's: see
// HeaderRegistrant. Renew and Deregister then return an error of KindConflict once another registrant has the id.
func (c *Client) Register(ctx context.Context, r catalog.Registration) (revision uint64, err error) {
	if r.Instance.ID == "" {
		return 0, noName("instance")
	}
	var written Written
	_, err = c.call(ctx, http.MethodPut, instancePath(r.Instance.Node, r.Instance.ID), nil, declare(&r), &written)
	return written.Revision, err
}

// Deregister removes an instance and its checks. An empty node means the server's own.
func (c *Client) Deregister(ctx context.Context, node, id string) (revision uint64, err error) {
	if id == "" {
		return 0, noName("instance")
	}
	var written Written
	_, err = c.call(ctx, http.MethodDelete, instancePath(node, id), nil, nil, &written)
	return written.Revision, err
}

// Renew renews an instance that lives by a lease. The error is of KindNotFound if it has ended: its owner registers it
// again.
func (c *Client) Renew(ctx context.Context, node, id string) error {
	if id == "" {
		return noName("instance")
	}
	_, err := c.call(ctx, http.MethodPut, instancePath(node, id, "renew"), nil, nil, new(Written))
	return err
}

// SyncNode declares a node's whole state.
func (c *Client) SyncNode(ctx context.Context, state catalog.NodeState) (catalog.SyncResult, error) {
	var result catalog.SyncResult
	if state.Node.Name == "" {
		return result, noName("node")
	}
	_, err := c.call(ctx, http.MethodPut, pathOf("nodes", state.Node.Name), nil, declareNode(&state), &result)
	return result, err
}

// RenewNode renews a node's session. The error is of KindNotFound if that has ended: its owner declares it again.
func (c *Client) RenewNode(ctx context.Context, node string) error {
	if node == "" {
		return noName("node")
	}
	_, err := c.call(ctx, http.MethodPut, pathOf("nodes", node, "renew"), nil, nil, new(Written))
	return err
}

// RemoveNode removes a node that is not alive, and everything on it.
func (c *Client) RemoveNode(ctx context.Context, node string) (revision uint64, err error) {
	if node == "" {
		return 0, noName("node")
	}
	var written Written
	_, err = c.call(ctx, http.MethodDelete, pathOf("nodes", node), nil, nil, &written)
	return written.Revision, err
}

// PushCheck pushes the outcome of a TTL check, which also renews it. An empty node means the server's own.
func (c *Client) PushCheck(ctx context.Context, node, check string, status catalog.Status, output string) error {
	if check == "" {
		return noName("check")
	}
	target := pathOf("checks", check)
	if node != "" {
		target = pathOf("nodes", node, "checks", check)
	}
	_, err := c.call(ctx, http.MethodPut, target, nil, CheckPush{Status: status, Output: output}, new(Written))
	return err
}

// Drain takes a service, a node or an instance out of the answers, until Undrain. Of an instance, an empty node means the
// server's own.
func (c *Client) Drain(ctx context.Context, d catalog.Drain) (revision uint64, err error) {
	order := DrainOrder{Service: d.Service, Node: d.Node, Instance: d.Instance, Reason: d.Reason}
	var written Written
	_, err = c.call(ctx, http.MethodPut, pathOf("drains"), nil, order, &written)
	return written.Revision, err
}

// Undrain takes an order back. Without an order for the instance that d names, it ends the drain of a container that has survived
// its stop signal, which only the server of the container's host can do. The error is of KindNotFound if what d names is not
// drained, of KindConflict if it is drained by something else.
func (c *Client) Undrain(ctx context.Context, d catalog.Drain) (revision uint64, err error) {
	query := make(url.Values)
	for name, value := range map[string]string{"service": d.Service, "node": d.Node, "instance": d.Instance} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var written Written
	_, err = c.call(ctx, http.MethodDelete, pathOf("drains"), query, nil, &written)
	return written.Revision, err
}

// Drains returns the orders in force, and the instances that their owners drain.
func (c *Client) Drains(ctx context.Context) (list DrainList, err error) {
	_, err = c.call(ctx, http.MethodGet, pathOf("drains"), nil, nil, &list)
	return list, err
}
