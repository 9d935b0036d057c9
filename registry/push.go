package registry

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/koine-sd/koine/catalog"
)

// pushRounds bounds the attempts at a push, which begins again if its lease ended or its check's declaration changed meanwhile.
const pushRounds = 3

// pushedOutputEvery is the shortest time between two pushes of one status that are written because their outputs differ.
const pushedOutputEvery = time.Minute

// errOtherCheck means that the check has changed since a push for it began.
var errOtherCheck = errors.New("check was declared otherwise")

// PushCheck takes the status of a TTL check of a node without an agent from its application, for the process that runs
// the check. The status holds until the check's TTL has passed without another push to any process. A
// push of the same status renews a lease and writes nothing, unless its output is another one and the last is a minute old.
//
// It returns an error of KindInvalid for a status or a check of another type, of KindNotFound if there is no such check, of
// KindConflict if its node has an agent, and of KindUnavailable if the store does not answer.
func (r *Registry) PushCheck(ctx context.Context, node, id string, status catalog.Status, output string) error {
	if err := r.awaitLoaded(ctx); err != nil {
		return err
	}
	push := catalog.Push{Status: status, Output: output[:min(len(output), catalog.MaxOutput)]}
	for range pushRounds {
		err := r.push(ctx, node, id, push)
		if err == nil || !leaseGone(err) && !errors.Is(err, errOtherCheck) {
			return err
		}
	}
	return errContended
}

// push renews the push before, or writes a new one. It decides from a View that is no older than the call, because another
// process may have taken the push before, or have registered the check again.
func (r *Registry) push(ctx context.Context, node, id string, push catalog.Push) error {
	if err := r.awaitOthers(ctx); err != nil {
		return err
	}
	check, err := r.pushable(ctx, node, id, push.Status)
	if err != nil {
		return err
	}
	push.TTL, push.CheckRevision, push.Time = check.TTL, check.CreateRevision, time.Now().UTC()
	held, err := r.renewPush(ctx, check, &push)
	if err != nil || held {
		return err
	}
	_, err = r.attempt(ctx, func(uint64) (*write, error) {
		if now, err := r.pushable(ctx, node, id, push.Status); err != nil || !push.For(now) {
			return nil, errors.Join(err, errOtherCheck)
		}
		w := &write{}
		w.cameAt(checkKey(node, id), check.CreateRevision) // of two pushes at a time the later one counts
		w.put(pushKey(node, id), encode(pushRecord{V: format, Push: &push}), leaseID(push.Lease))
		return w, nil
	})
	return err
}

// renewPush gives a push its lease: that of the push before, renewed, or a new one. It returns true if the push before has
// the same status and nothing new to say, so that nothing is to be written.
func (r *Registry) renewPush(ctx context.Context, check *catalog.Check, push *catalog.Push) (held bool, err error) {
	if kept := r.view.Push(check.Node, check.ID); kept != nil && kept.For(check) {
		alive, err := r.keepAlive(ctx, kept.Lease)
		if err != nil || alive {
			push.Lease = kept.Lease
			said := kept.Output != push.Output && push.Time.Sub(kept.Time) >= pushedOutputEvery
			return kept.Status == push.Status && !said, err
		}
	}
	lease, err := r.grant(ctx, check.TTL)
	push.Lease = sessionID(lease)
	return false, err
}

// pushable returns the check that a status can be pushed to.
func (r *Registry) pushable(ctx context.Context, node, id string, status catalog.Status) (*catalog.Check, error) {
	snapshot, check, err := r.findCheck(node, id)
	if err != nil {
		return nil, err
	}
	if err := check.AcceptsPush(status); err != nil {
		return nil, err
	}
	if e := snapshot.Endpoint(check.Instance); e != nil {
		if err := e.OwnedBy(ctx); err != nil {
			return nil, err
		}
	}
	if !snapshot.Agentless() {
		return nil, catalog.Errorf(catalog.KindConflict, "check %s is run by node %s itself", id, snapshot.Name).
			WithHint("push to the Koine of that node")
	}
	return check, nil
}

// cameAt adds the condition that a key was created at a revision, whatever was written to it afterwards.
func (w *write) cameAt(key string, revision uint64) {
	w.conditions = append(w.conditions, createRevision(key, pb.Compare_EQUAL, revision))
	w.reads = append(w.reads, key)
}

// sweepPushes removes the pushes for checks that no longer exist, or have changed. They have no readers, but their leases
// may last for as long as a day.
func (r *Registry) sweepPushes(ctx context.Context) {
	for push := range r.view.Pushes() {
		if !r.holds(catalog.PurgeDuty(push.Node)) || !r.leftOver(push) {
			continue
		}
		_, err := r.attempt(ctx, func(revision uint64) (*write, error) {
			now := r.view.Push(push.Node, push.Check)
			if now == nil || !r.holds(catalog.PurgeDuty(push.Node)) || !r.leftOver(now) {
				return nil, nil
			}
			w := &write{}
			w.stillAt(pushKey(push.Node, push.Check), now.ModRevision)
			w.delete(pushKey(push.Node, push.Check))
			r.asHolder(w, revision)
			return w, nil
		})
		if err != nil {
			r.logger.Debug("remove a push whose check no longer exists", "node", push.Node, "check", push.Check, "error", err)
			return
		}
	}
}

// leftOver reports whether a push is for a check that no longer exists.
func (r *Registry) leftOver(push *catalog.Push) bool {
	_, check, err := r.findCheck(push.Node, push.Check)
	return err != nil || !push.For(check)
}
