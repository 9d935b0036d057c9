package catalog

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
)

// Caller identifies the client that makes a call. The listener that takes the call puts it into the call's context. The zero value is this
// process itself.
type Caller struct {
	// Registrant is the name by which a client tells its own registrations from those of others; it may be empty. Two
	// clients that register one id under different names are two owners; the later one replaces the earlier.
	Registrant string
	// From is the client's address.
	From netip.Addr
	// Listener is the listener's protocol and address: "http 127.0.0.1:8500".
	Listener string
}

type callerKey struct{}

// WithCaller returns a context that names the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller that a context names.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Origin is the author of a record: the client, its address, and the listener that it used. Records that differ in it
// alone are equal.
type Origin struct {
	// Registrant, From and Listener are as those of Caller.
	Registrant string     `json:"registrant,omitempty"`
	From       netip.Addr `json:"from,omitzero"`
	Listener   string     `json:"listener,omitempty"`
	// Created is the revision at which an instance was registered under a former name of its node; 0 if it has not moved.
	Created uint64 `json:"created,omitempty"`
}

// OriginOf returns the origin for the records that a call writes; nil for this process itself.
func OriginOf(ctx context.Context) *Origin {
	c := CallerOf(ctx)
	o := Origin{Registrant: c.Registrant, From: c.From, Listener: c.Listener}
	if o == (Origin{}) {
		return nil
	}
	return &o
}

// String returns the origin for people: "by worker-7 over HTTP from 10.0.0.9". It is empty for a nil Origin.
func (o *Origin) String() string {
	if o == nil {
		return ""
	}
	var words []string
	if o.Registrant != "" {
		words = append(words, "by", o.Registrant)
	}
	if protocol, _, _ := strings.Cut(o.Listener, " "); protocol != "" {
		words = append(words, "over", strings.ToUpper(protocol))
	}
	if o.From.IsValid() {
		words = append(words, "from", o.From.String())
	}
	return strings.Join(words, " ")
}

// same reports whether two origins are equal, so that one value can serve for both.
func (o *Origin) same(p *Origin) bool { return o == p || o != nil && p != nil && *o == *p }

// nobody reports whether an origin names no client.
func (o *Origin) nobody() bool { return o == nil || *o == (Origin{Created: o.Created}) }

// CreatedAt returns the origin of a record that moves, and was created at a revision.
func (o *Origin) CreatedAt(revision uint64) *Origin {
	moved := Origin{Created: revision}
	if o != nil {
		moved = *o
		moved.Created = revision
	}
	return &moved
}

// Moved reports whether an instance was registered under a former name of its node, and has moved with the node.
func (i *Instance) Moved() bool { return i.Origin != nil && i.Origin.Created != 0 }

func (o *Origin) registrant() string {
	if o == nil {
		return ""
	}
	return o.Registrant
}

// Registrant returns the name that the client which registered the instance gave itself; it may be empty.
func (i *Instance) Registrant() string { return i.Origin.registrant() }

// Registrant returns the name that the client which declared the node gave itself; it may be empty.
func (n *Node) Registrant() string { return n.Origin.registrant() }

// Author returns the client that registered the instance or, if the instance is declared with its node, declared the node;
// nil for a declaration of the process that keeps the catalog.
func (e *Endpoint) Author() *Origin {
	if e.Owner.Declared() && e.Host != nil && e.Host.Node != nil {
		return e.Host.Node.Origin
	}
	return e.Instance.Origin
}

// OwnedBy refuses a caller whose registration another registrant has replaced, with an error of KindConflict. A caller without
// a name may touch any instance, and any caller may touch an instance without an origin, as former versions stored it.
func (e *Endpoint) OwnedBy(ctx context.Context) error {
	registrant, author := CallerOf(ctx).Registrant, e.Author()
	unknown := author.nobody() && !e.Owner.Declared()
	if registrant == "" || unknown || author.registrant() == registrant {
		return nil
	}
	return Errorf(KindConflict, "instance %s is not that of %s: it was last registered %s", e.ID, registrant,
		cmp.Or(author.String(), "through "+e.Source)).WithHint("leave it to its new owner, or choose another id")
}
