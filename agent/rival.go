package agent

import (
	"errors"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// rivalGrace is the longest time that a session without renewals may last beyond its TTL.
const rivalGrace = 2 * time.Second

// rivalry is the state of a host that is alive under this node's name and another id, or under another name and this node's id.
// It may be a former session of this host, from before it lost its data directory or was renamed, which ends by itself.
type rivalry struct {
	// last is the time of the last attempt that met the rival, and met the time for which every attempt has met it, both by
	// the process's clock.
	last, met time.Duration
	// withdraw ends the View's report of the rival; nil if there is none, or if an attempt failed otherwise since.
	withdraw func()
}

// verdict is the decision about a rival.
type verdict uint8

const (
	// unopposed: there is no rival.
	unopposed verdict = iota
	// wait: it may be a former session of this host, or this host has served already.
	wait
	// giveUp: it is another host, and was there first.
	giveUp
)

// judge decides what to do after a sync about a rival that every attempt has met for a time. A host that was ready keeps
// serving and tries again until the rival is gone. One that was not is the newcomer: it gives up once the rival's session
// has lasted longer than one without renewals can.
func judge(err error, met, ttl time.Duration, ready bool) verdict {
	switch {
	case catalog.KindOf(err) != catalog.KindConflict:
		return unopposed
	case !ready && met > ttl+rivalGrace:
		return giveUp
	default:
		return wait
	}
}

// metUntil returns the time for which the rival has been met, given the present time of the process's clock. A process that
// stood still between two attempts has not met it meanwhile: with the embedded store, a former session of this host lasts longer by
// that time, and with one elsewhere it may have ended in between.
func (r *rivalry) metUntil(now time.Duration) time.Duration {
	if r.withdraw == nil {
		return 0
	}
	return r.met + min(now-r.last, 2*retryMax)
}

// noteRival looks at the result of a sync, and reports in the View if another host has the node's name or its id. It returns an error
// if that host stays.
func (a *Agent) noteRival(err error) error {
	now := a.cfg.Clock.Running()
	met := a.rivalry.metUntil(now)
	switch judge(err, met, a.rivalTTL(), a.ready) {
	case unopposed:
		a.endRivalry()
	case wait:
		if a.rivalry.withdraw == nil {
			a.beginRivalry(message(err))
		}
		a.rivalry.last, a.rivalry.met = now, met
	case giveUp:
		given := catalog.Errorf(catalog.KindConflict, "%s: another host renews its session", message(err))
		if a.rivalIn(a.cfg.View.Node(a.cfg.Node.Name)) != nil {
			return given.WithHint("give one of the two hosts another name with --node")
		}
		return given.WithHint("was its machine cloned, or its data directory copied? give this one an empty data directory")
	}
	return nil
}

// beginRivalry reports a rival in the View: as what this host waits for or, once it has served, as its problem.
func (a *Agent) beginRivalry(what string) {
	if a.ready {
		a.rivalry.withdraw = a.cfg.View.Problem(what)
		return
	}
	a.waitFor("the end of another session: " + what)
	a.rivalry.withdraw = func() { a.waitFor(a.cfg.firstLook()) }
}

func (a *Agent) endRivalry() {
	if a.rivalry.withdraw != nil {
		a.rivalry.withdraw()
	}
	a.rivalry = rivalry{}
}

// waitFor holds the View for another reason than before.
func (a *Agent) waitFor(what string) {
	former := a.release
	a.release = a.cfg.View.Hold(what)
	former()
}

// rivalTTL returns the time that the session of another host lasts by itself.
func (a *Agent) rivalTTL() time.Duration {
	ttl := a.cfg.Node.Owner.TTL
	if rival := a.rivalIn(a.cfg.View.Node(a.cfg.Node.Name)); rival != nil {
		ttl = max(ttl, rival.Owner.TTL)
	}
	for _, other := range a.formerNodes(func(other *catalog.NodeSnapshot) bool { return other.Session != "" }) {
		ttl = max(ttl, other.Node.Owner.TTL)
	}
	return time.Duration(ttl)
}

// rivalIn returns the record under the node's name if it is that of another host that is alive.
func (a *Agent) rivalIn(node *catalog.NodeSnapshot) *catalog.Node {
	if node == nil || node.Node == nil || node.Session == "" || node.Node.ID == a.cfg.Node.ID {
		return nil
	}
	return node.Node
}

// message returns an error's message without its hint.
func message(err error) string {
	var known *catalog.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}
