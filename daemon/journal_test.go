package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// joined returns the record of a new instance.
func joined(node, id string) catalog.Change {
	return catalog.Change{Type: catalog.RecordInstance, Name: node, ID: id, Instance: &catalog.Instance{
		Node: node, ID: id, Service: "web", Source: "docker", Owner: catalog.Owner{Kind: catalog.OwnerPermanent},
	}}
}

// TestJournal holds what the log of a running Koine tells, on its own store and on one that other hosts share.
func TestJournal(t *testing.T) {
	drain := catalog.Change{Type: catalog.RecordDrain, Name: "here", ID: "a", Drain: &catalog.Drain{Node: "here", Instance: "a", Reason: "maintenance"}}
	gone := catalog.Change{Type: catalog.RecordInstance, Name: "here", ID: "a", Why: "the container has ended"}
	var many []catalog.Change
	for n := range journalLines + 5 {
		many = append(many, joined("here", fmt.Sprint("n", n)))
	}
	for name, c := range map[string]struct {
		all     bool
		changes [][]catalog.Change
		want    []string
	}{
		"an instance's life": {changes: [][]catalog.Change{{joined("here", "a")}, {drain}, {gone}}, want: []string{
			"msg=registered service=web instance=a",
			"msg=drained service=web instance=a reason=maintenance",
			"msg=deregistered service=web instance=a reason=\"the container has ended\"",
		}},
		"another host's": {changes: [][]catalog.Change{{joined("there", "b")}}},
		"another node's, that only this process knows": {all: true, changes: [][]catalog.Change{{joined("there", "b")}}, want: []string{
			"msg=registered service=web instance=b node=there",
		}},
		"many at once": {changes: [][]catalog.Change{many}, want: append(
			strings.Split(strings.Repeat("msg=registered service=web \n", journalLines), "\n")[:journalLines],
			"msg=\"further instances registered\" number=5")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				view := catalog.NewView()
				node := func(name string) catalog.Change {
					return catalog.Change{Type: catalog.RecordNode, Name: name, Node: &catalog.Node{Name: name, Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}}
				}
				view.Load(1, []catalog.Change{node("here"), node("there"), joined("here", "from before the start")})
				var log bytes.Buffer
				j := &journal{view: view, logger: slog.New(slog.NewTextHandler(&log, nil)), node: "Here", all: c.all}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- j.run(ctx) }()
				synctest.Wait()
				for n, changes := range c.changes {
					view.Apply(uint64(n)+2, changes)
				}
				time.Sleep(2 * journalPause) // in fake time
				cancel()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
				if log.Len() == 0 {
					lines = nil
				}
				if len(lines) != len(c.want) {
					t.Fatalf("%d lines, want %d:\n%s", len(lines), len(c.want), &log)
				}
				for n, want := range c.want {
					if !strings.Contains(lines[n]+" ", want) {
						t.Errorf("line %d is %q, want %q", n, lines[n], want)
					}
				}
			})
		})
	}
}
