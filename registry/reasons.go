package registry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// reasons say why instances are deleted, by their keys, or by the prefix of the keys of a node's instances.
type reasons map[string]string

const (
	// maxReason bounds the bytes of one reason, maxReasons those of all reasons in one write or one clock: for deletions
	// beyond that, history knows no reason.
	maxReason  = 256
	maxReasons = 32 << 10
)

// add records why the records at a key, or below a prefix, are deleted.
func (w *write) because(key, why string) {
	if why = cut(why, maxReason); why == "" || w.reasonBytes+len(key)+len(why) > maxReasons {
		return
	}
	if w.why == nil {
		w.why = make(reasons)
	}
	w.why[key] = why
	w.reasonBytes += len(key) + len(why)
	w.bytes += len(key) + len(why)
}

// reasonsOf joins the reasons of a group of writes.
func reasonsOf(group []*write) reasons {
	var all reasons
	bytes := 0
	for _, w := range group {
		if len(w.why) == 0 || bytes+w.reasonBytes > maxReasons {
			continue
		}
		bytes += w.reasonBytes
		if all == nil {
			all = make(reasons)
		}
		maps.Copy(all, w.why)
	}
	return all
}

// of returns the reason why the record at a key was deleted; "" if not known.
func (r reasons) of(key string) string {
	if why, ok := r[key]; ok {
		return why
	}
	return r[key[:strings.LastIndexByte(key, '/')+1]]
}

// explainGone gives the deletions of instances and nodes among the changes of one revision their reasons. The View must be as it was
// before.
func explainGone(v *catalog.View, changes []catalog.Change, events []*clientv3.Event) {
	deletes := func(c catalog.Change) bool {
		return c.Type == catalog.RecordInstance && c.Instance == nil || c.Type == catalog.RecordNode && c.Node == nil
	}
	if !slices.ContainsFunc(changes, deletes) {
		return
	}
	clock := clockOf(events)
	for i := range changes {
		switch c := &changes[i]; {
		case !deletes(*c):
		case c.Type == catalog.RecordInstance:
			c.Why = whyGone(v, c, clock)
		case clock != nil:
			c.Why = clock.Why.of(nodeKey(c.Name))
		}
	}
}

// whyGone returns the reason why an instance was deleted, given the clock of the revision, nil if it has none. A deletion by
// Koine has a clock; the end of a lease has none.
func whyGone(v *catalog.View, c *catalog.Change, clock *clockRecord) string {
	if clock != nil {
		return clock.Why.of(instanceKey(c.Name, c.ID))
	}
	e := v.Instance(c.Name, c.ID)
	switch {
	case e == nil:
		return ""
	case e.Owner.Kind == catalog.OwnerLease:
		return "ttl " + e.Owner.TTL.String() + " ran out"
	default:
		return "deleted from the store, not by Koine"
	}
}

// whyDeregistered names the caller that deregisters an instance.
func whyDeregistered(ctx context.Context) string {
	if who := catalog.OriginOf(ctx).String(); who != "" {
		return "deregistered " + who
	}
	return ""
}

// whyCritical names the check that removes its instance, the time that it was critical, and the time that is allowed.
func whyCritical(c *catalog.Check, now time.Time) string {
	critical := catalog.Duration(now.Sub(c.Since).Round(time.Second))
	return "check " + c.ID + " was critical for " + critical.String() + " (deregister_after " + c.DeregisterAfter.String() + ")"
}

// whyUndeclared returns the reason why a sync deletes an instance: its source's or, without one, one by its source's kind.
func whyUndeclared(state *catalog.NodeState, i *catalog.Instance) string {
	if why := state.Gone[i.ID]; why != "" {
		return why
	}
	switch i.Source {
	case "docker":
		return "its container is gone"
	case "file":
		return "no definition file declares it any more"
	}
	return strings.TrimSpace("node " + state.Node.Name + " was declared without it " + state.Node.Origin.String())
}

// whyPurged returns the reason why the records of a dead node are deleted.
func whyPurged(node *catalog.NodeSnapshot) string {
	keep := catalog.DefaultPurgeAfter
	if node.Node != nil {
		keep = node.Node.PurgeAfter.Or(keep)
	}
	return "purged: node " + node.Name + " was away for " + catalog.Duration(keep.Round(time.Second)).String()
}

// cut returns the head of a text, of at most size bytes, without a part of a rune.
func cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "")
}
