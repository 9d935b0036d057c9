package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// runner takes pushes only some time after it was made, as one that has not been told of the checks yet.
type runner struct{ ready time.Time }

func (r runner) Push(context.Context, string, string, catalog.Status, string) error {
	if time.Now().Before(r.ready) {
		return catalog.Errorf(catalog.KindNotFound, "no such check is run")
	}
	return nil
}

func viewOf(node catalog.Node, check string) *catalog.View {
	view := catalog.NewView()
	view.Load(1, []catalog.Change{
		{Type: catalog.RecordNode, Name: node.Name, Node: &node},
		{Type: catalog.RecordCheck, Name: node.Name, ID: check, Check: &catalog.Check{
			ID: check, Node: node.Name, Definition: catalog.Definition{Type: catalog.CheckTTL, TTL: catalog.Duration(time.Minute)},
		}},
	})
	return view
}

func TestPushWaitsForAFreshCheck(t *testing.T) {
	session := catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Second)}
	for _, tt := range []struct {
		name, node, check string
		owner             catalog.Owner
		late, waits       time.Duration
		found             bool
	}{
		{"run already", "here", "web:1", session, 0, 0, true},
		{"run a moment later", "here", "web:1", session, 20 * time.Millisecond, 20 * time.Millisecond, true},
		{"run late on a node without an agent", "away", "web:1", catalog.Owner{Kind: catalog.OwnerPermanent}, time.Second, time.Second, true},
		{"never run", "here", "web:1", session, time.Hour, pushPatience, false},
		{"no such check", "here", "web:2", session, time.Hour, 0, false},
		{"run by another", "away", "web:1", session, time.Hour, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				p := &pusher{
					checks: runner{began.Add(tt.late)}, view: viewOf(catalog.Node{Name: tt.node, Owner: tt.owner}, "web:1"), node: "here",
				}
				err := p.Push(t.Context(), tt.node, tt.check, catalog.Passing, "")
				if (err == nil) != tt.found || err != nil && catalog.KindOf(err) != catalog.KindNotFound {
					t.Errorf("Push = %v, found %v wanted", err, tt.found)
				}
				if took := time.Since(began); took != tt.waits {
					t.Errorf("Push took %v, want %v", took, tt.waits)
				}
			})
		})
	}
}

// A push that is cut short while it waits has not found out that its check is not there.
func TestPushThatIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(time.Second)}
		ctx, cancel := context.WithTimeout(t.Context(), pushPatience/2)
		defer cancel()
		p := &pusher{
			checks: runner{time.Now().Add(time.Hour)}, view: viewOf(catalog.Node{Name: "here", Owner: session}, "web:1"), node: "here",
		}
		if err := p.Push(ctx, "here", "web:1", catalog.Passing, ""); catalog.KindOf(err) == catalog.KindNotFound {
			t.Errorf("Push = %v", err)
		}
	})
}
