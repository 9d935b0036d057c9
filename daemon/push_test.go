package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// runner takes pushes only some time after it was made, like one that does not have the checks yet.
type runner struct{ ready time.Time }

func (r runner) Push(context.Context, string, string, catalog.Status, string) error {
	if time.Now().Before(r.ready) {
		return catalog.Errorf(catalog.KindNotFound, "no such check is run")
	}
	return nil
}

func (r runner) Await(ctx context.Context, _, _ string) error {
	select {
	case <-time.After(time.Until(r.ready)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lateView is a View that is behind until a caller waits for its barrier.
type lateView struct {
	view    *catalog.View
	changes []catalog.Change
}

func (l lateView) Barrier(context.Context) (uint64, error) {
	l.view.Apply(2, l.changes)
	return 2, nil
}

func lateViewOf(node catalog.Node, check string) lateView {
	view := catalog.NewView()
	view.Load(1, nil)
	return lateView{view, []catalog.Change{
		{Type: catalog.RecordNode, Name: node.Name, Node: &node},
		{Type: catalog.RecordCheck, Name: node.Name, ID: check, Check: &catalog.Check{
			ID: check, Node: node.Name, Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: catalog.Duration(time.Minute)},
		}},
	}}
}

func TestPushWaitsForAFreshCheck(t *testing.T) {
	session := catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Second)}
	for _, tt := range []struct {
		name, node, check string
		owner             catalog.Owner
		late, waits       time.Duration
		want              catalog.Kind // KindInternal for none
	}{
		{"run already", "here", "web:1", session, 0, 0, 0},
		{"run a moment later", "here", "web:1", session, 20 * time.Millisecond, 20 * time.Millisecond, 0},
		{"run a moment later, in other letters", "HERE", "web:1", session, 20 * time.Millisecond, 20 * time.Millisecond, 0},
		{"never run", "here", "web:1", session, time.Hour, pushPatience, catalog.KindNotFound},
		{"no such check", "here", "web:2", session, time.Hour, 0, catalog.KindNotFound},
		{"no such node", "nowhere", "web:1", session, time.Hour, 0, catalog.KindNotFound},
		{"run by another", "away", "web:1", session, time.Hour, 0, catalog.KindConflict},
		{"of a node without an agent", "ext", "web:1", catalog.Owner{Kind: catalog.OwnerPermanent}, time.Hour, 0, catalog.KindNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				node := tt.node
				switch node {
				case "HERE":
					node = "here"
				case "nowhere":
					node = "elsewhere"
				}
				late := lateViewOf(catalog.Node{Name: node, Owner: tt.owner}, "web:1")
				p := &pusher{checks: runner{began.Add(tt.late)}, barrier: late, view: late.view, node: "here"}
				err := p.Push(t.Context(), tt.node, tt.check, catalog.Passing, "")
				if (err == nil) != (tt.want == 0) || catalog.KindOf(err) != tt.want {
					t.Errorf("Push = %v, want kind %v", err, tt.want)
				}
				if took := time.Since(began); took != tt.waits {
					t.Errorf("Push took %v, want %v", took, tt.waits)
				}
			})
		})
	}
}

// A push that is cut short while it waits must not report that its check does not exist.
func TestPushThatIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Second)}
		ctx, cancel := context.WithTimeout(t.Context(), pushPatience/2)
		defer cancel()
		late := lateViewOf(catalog.Node{Name: "here", Owner: session}, "web:1")
		p := &pusher{checks: runner{time.Now().Add(time.Hour)}, barrier: late, view: late.view, node: "here"}
		if err := p.Push(ctx, "here", "web:1", catalog.Passing, ""); catalog.KindOf(err) == catalog.KindNotFound {
			t.Errorf("Push = %v", err)
		}
	})
}

// TestPushByAReplacedRegistrant has a View that does not know yet that the instance has been registered for another registrant.
func TestPushByAReplacedRegistrant(t *testing.T) {
	late := lateViewOf(catalog.Node{Name: "here", Owner: catalog.Owner{Kind: catalog.OwnerSession}}, "web:1")
	late.changes[1].Check.Instance = "web"
	instance := func(registrant string) catalog.Change {
		return catalog.Change{Type: catalog.RecordInstance, Name: "here", ID: "web", Instance: &catalog.Instance{
			ID: "web", Node: "here", Service: "web", Owner: catalog.Owner{Kind: catalog.OwnerPermanent},
			Origin: &catalog.Origin{Registrant: registrant},
		}}
	}
	late.view.Apply(1, append(slices.Clone(late.changes), instance("former")))
	late.changes = append(late.changes, instance("new"))
	p := &pusher{checks: runner{}, barrier: late, view: late.view, node: "here"}
	ctx := catalog.WithCaller(t.Context(), catalog.Caller{Registrant: "former"})
	if err := p.Push(ctx, "here", "web:1", catalog.Passing, ""); catalog.KindOf(err) != catalog.KindConflict {
		t.Errorf("pushed as %v", err)
	}
}
