package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// The actions of the linearizability test on one instance.
type action int

const (
	actRegister action = iota
	actRegisterChecked
	actDeregister
	actSetCheck
	actDrain
	actUndrain
	actLookup
	actions
)

func (a action) String() string {
	return [...]string{"register", "register with a check", "deregister", "set check", "drain", "undrain", "lookup"}[a]
}

// operation is one call on one instance.
type operation struct {
	id     string
	action action
	// weight is the field in which registrations differ, status the one that a check is set to.
	weight int32
	status catalog.Status
}

// answer is the outcome of a call: not found, not made at all, perhaps made, or the result of a lookup.
type answer struct {
	missing, refused, unknown bool
	seen                      instanceModel
}

// instanceModel is the state that one instance must have in the catalog after the operations so far.
type instanceModel struct {
	present bool
	weight  int32
	// status is that of its check; empty if it has none.
	status catalog.Status
	// drained outlives the instance: an order is a record of its own.
	drained bool
}

// visible is as much of the model as a lookup shows.
func (m instanceModel) visible() instanceModel {
	if !m.present {
		return instanceModel{}
	}
	return m
}

// next returns the state after an operation, and whether the operation's target exists.
func (m instanceModel) next(o operation) (after instanceModel, found bool) {
	after, found = m, m.present
	switch o.action {
	case actRegister, actRegisterChecked:
		after.present, after.weight, found = true, o.weight, true
		if o.action == actRegister {
			after.status = ""
		} else if m.status == "" {
			after.status = catalog.Critical
		}
	case actDeregister:
		after.present, after.weight, after.status = false, 0, ""
	case actSetCheck:
		after.status, found = o.status, m.status != ""
	case actDrain:
		after.drained = true
	case actUndrain:
		after.drained, found = false, m.drained
	}
	if !found {
		return m, false
	}
	return after, true
}

// step returns the states that an operation with an answer may lead to; none if the answer is impossible.
func (m instanceModel) step(o operation, a answer) []any {
	if o.action == actLookup {
		if a.unknown || a.seen == m.visible() {
			return []any{m}
		}
		return nil
	}
	after, found := m.next(o)
	switch {
	case a.unknown:
		return []any{m, after}
	case a.refused:
		return []any{m}
	case a.missing != found:
		return []any{after}
	default:
		return nil
	}
}

// catalogModel is the catalog as its clients may see it; instances are independent.
var catalogModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{instanceModel{}} },
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byID := make(map[string][]porcupine.Operation)
		for _, o := range history {
			id := o.Input.(operation).id
			byID[id] = append(byID[id], o)
		}
		for _, part := range byID {
			parts = append(parts, part)
		}
		return parts
	},
	Step: func(state, input, output any) []any {
		return state.(instanceModel).step(input.(operation), output.(answer))
	},
	DescribeOperation: func(input, output any) string {
		o := input.(operation)
		return fmt.Sprintf("%v %s %d %s: %+v", o.action, o.id, o.weight, o.status, output)
	},
}

// carryOut makes a call on a registry.
func (r *Registry) carryOut(ctx context.Context, o operation) (a answer) {
	var err error
	switch o.action {
	case actRegister, actRegisterChecked:
		registration := permanent("n1", o.id, "web")
		registration.Instance.Weight = o.weight
		if o.action == actRegisterChecked {
			registration.Checks = []catalog.Check{{ID: "check-" + o.id, Definition: catalog.Definition{TCP: "127.0.0.1:1"}}}
		}
		_, err = r.Register(ctx, registration)
	case actDeregister:
		_, err = r.Deregister(ctx, "n1", o.id)
	case actSetCheck:
		err = r.SetCheck(ctx, aCheck("n1", "check-"+o.id), o.status, "")
	case actDrain:
		_, err = r.Drain(ctx, catalog.Drain{Node: "n1", Instance: o.id})
	case actUndrain:
		_, err = r.Undrain(ctx, catalog.Drain{Node: "n1", Instance: o.id})
	case actLookup:
		if _, err = r.Barrier(ctx); err == nil {
			a.seen = lookedUp(r.view.Instance("n1", o.id))
		}
	}
	a.missing = catalog.KindOf(err) == catalog.KindNotFound
	a.refused = errors.Is(err, errContended)
	a.unknown = err != nil && !a.missing && !a.refused
	return a
}

func lookedUp(e *catalog.Endpoint) (seen instanceModel) {
	if e == nil {
		return seen
	}
	seen = instanceModel{present: true, weight: e.Weight, drained: e.Drained != ""}
	if len(e.Checks) > 0 {
		seen.status = e.Checks[0].Status
	}
	return seen
}

// TestRegistriesOnOneStoreAreLinearizable has clients of two registries act on a few instances at the same time. Their
// answers must be those of one catalog that carries out one operation after another.
func TestRegistriesOnOneStoreAreLinearizable(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, open func(t *testing.T) *engine.Engine) {
		e := open(t)
		a, _ := start(t, e)
		b, _ := start(t, e)
		a.mustSync(t, permanentNode("n1"))
		const clients, each, instances = 8, 700, 6
		histories := make([][]porcupine.Operation, clients)
		begun := time.Now()
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				chance := rand.New(rand.NewPCG(uint64(client), 1))
				for range each {
					o := operation{
						id: fmt.Sprint("i", chance.IntN(instances)), action: action(chance.IntN(int(actions))), weight: 1 + chance.Int32N(2),
						status: []catalog.Status{catalog.Passing, catalog.Warning, catalog.Critical}[chance.IntN(3)],
					}
					call := time.Since(begun).Nanoseconds()
					got := []*Registry{a, b}[chance.IntN(2)].carryOut(t.Context(), o)
					end := time.Since(begun).Nanoseconds()
					if got.unknown {
						end = math.MaxInt64
					}
					histories[client] = append(histories[client], porcupine.Operation{
						ClientId: client, Input: o, Call: call, Output: got, Return: end,
					})
				}
			})
		}
		wg.Wait()
		var history []porcupine.Operation
		unknown := 0
		for _, part := range histories {
			history = append(history, part...)
			for _, o := range part {
				if o.Output.(answer).unknown {
					unknown++
				}
			}
		}
		t.Logf("%d operations, %d of them without an answer, in %v", len(history), unknown, time.Since(begun))
		result, info := porcupine.CheckOperationsVerbose(catalogModel.ToModel(), history, 30*time.Minute)
		if result != porcupine.Ok {
			path := t.ArtifactDir() + "/history.html"
			_ = porcupine.VisualizePath(catalogModel.ToModel(), info, path)
			t.Errorf("history is %v; see %s", result, path)
		}
	})
}
