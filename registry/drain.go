package registry

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// drainKey is the key of an order: koine/drain/service/<service>, koine/drain/node/<node> or
// koine/drain/instance/<node>/<id>.
func drainKey(d *catalog.Drain) string {
	switch {
	case d.Service != "":
		return drainPrefix + "service/" + nodeSegment(d.Service)
	case d.Instance != "":
		return drainPrefix + "instance/" + nodeSegment(d.Node) + "/" + url.PathEscape(d.Instance)
	default:
		return drainPrefix + "node/" + nodeSegment(d.Node)
	}
}

// drainOf returns the order that a key names, from the part after koine/drain/.
func drainOf(key, rest string) (catalog.Change, error) {
	c := catalog.Change{Type: catalog.RecordDrain}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil {
			return c, fmt.Errorf("key %q: %w", key, err)
		}
		parts[i] = text
	}
	switch {
	case len(parts) == 2 && parts[0] == "service":
		c.ID = parts[1]
	case len(parts) == 2 && parts[0] == "node":
		c.Name = parts[1]
	case len(parts) == 3 && parts[0] == "instance":
		c.Name, c.ID = parts[1], parts[2]
	default:
		return c, fmt.Errorf("key %q names no record", key)
	}
	return c, nil
}

// Drain takes the target of an order out of the answers, until Undrain. The same order again writes nothing. The error
// is of KindInvalid for an order without one clear target, and of KindNotFound if the target does not exist.
func (r *Registry) Drain(ctx context.Context, d catalog.Drain) (uint64, error) {
	if err := d.Validate(); err != nil {
		return 0, err
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return 0, err
	}
	d.Origin = catalog.OriginOf(ctx)
	return r.attempt(ctx, func(revision uint64) (*write, error) {
		w := &write{}
		if err := r.drainable(&d, w, revision); err != nil {
			return nil, err
		}
		if before := r.findDrain(&d); before != nil && before.Reason == d.Reason {
			return nil, nil
		}
		w.unchangedSince(drainKey(&d), revision)
		w.put(drainKey(&d), encode(drainRecord{V: format, Drain: &d}), 0)
		return w, nil
	})
}

// drainable adds the condition that the target of an order exists. It returns an error of KindNotFound if it does not.
func (r *Registry) drainable(d *catalog.Drain, w *write, revision uint64) error {
	switch {
	case d.Service != "":
		s := r.view.Service(d.Service)
		if s == nil || len(s.Endpoints) == 0 {
			return catalog.Errorf(catalog.KindNotFound, "no service %s", d.Service)
		}
		w.stillThere(instanceKey(s.Endpoints[0].Instance.Node, s.Endpoints[0].ID), revision) // any of its instances will do
	case d.Instance != "":
		if r.view.Instance(d.Node, d.Instance) == nil {
			return r.noInstance(d.Node, d.Instance)
		}
		w.stillThere(instanceKey(d.Node, d.Instance), revision)
	default:
		node := r.view.Node(d.Node)
		if node == nil {
			return r.view.NoNode(d.Node)
		}
		w.sameAs(nodeKey(d.Node), node.Node != nil, revision)
	}
	return nil
}

// findDrain returns the order in force with the same target as another; nil if there is none.
func (r *Registry) findDrain(d *catalog.Drain) *catalog.Drain {
	for _, other := range r.view.Drains() {
		if drainKey(other) == drainKey(d) {
			return other
		}
	}
	return nil
}

// Undrain cancels an order. Its reason and time do not matter. The error is of KindNotFound if there is no such order.
func (r *Registry) Undrain(ctx context.Context, d catalog.Drain) (uint64, error) {
	if err := d.Validate(); err != nil {
		return 0, err
	}
	if err := r.awaitLoaded(ctx); err != nil {
		return 0, err
	}
	return r.attempt(ctx, func(revision uint64) (*write, error) {
		if r.findDrain(&d) == nil {
			return nil, catalog.Errorf(catalog.KindNotFound, "no such drain").
				WithHint("koine drain, without a name, lists those in force")
		}
		w := &write{}
		w.stillThere(drainKey(&d), revision)
		w.delete(drainKey(&d))
		return w, nil
	})
}
