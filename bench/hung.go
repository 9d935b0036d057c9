package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koine-sd/koine/catalog"
)

const (
	// hungChecks targets never answer, nearChecks do; hungRounds failures of the latter are measured.
	hungChecks, nearChecks = 1500, 10
	hungRounds             = 20
	// hungSettle is the time for which the targets have hung before the first round.
	hungSettle = 30 * time.Second
)

// measureHung measures how soon the failure of targets that are checked each second is seen beside 1,500 checks of targets that do not
// answer, with intervals of 1 to 10 seconds and the default timeout.
func measureHung(ctx context.Context, cfg *config, t *table) error {
	var failing atomic.Bool
	silent, stopSilent, err := serveChecked(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err != nil {
		return err
	}
	defer stopSilent()
	near, stopNear, err := serveChecked(func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	if err != nil {
		return err
	}
	defer stopNear()
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer k.stop()
	for beside, hung := range map[string]int{"alone": 0, fmt.Sprintf("beside %s that hang", thousands(hungChecks)): hungChecks} {
		if _, err := k.client.SyncNode(ctx, hungNode(hung, silent, near)); err != nil {
			return err
		}
		if hung > 0 {
			if err := sleep(ctx, hungSettle); err != nil {
				return err
			}
		}
		took, err := k.failures(ctx, &failing)
		if err != nil {
			return err
		}
		slices.Sort(took)
		t.add(row{what: fmt.Sprintf("failures of 1 s checks, %s: until seen, half of them, latest", beside),
			koine: millis(took[len(took)/2]) + ", " + millis(took[len(took)-1])})
	}
	return nil
}

// serveChecked serves targets of checks.
func serveChecked(handler http.HandlerFunc) (port int, stop func(), err error) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return 0, nil, err
	}
	server := &http.Server{Handler: handler}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	return listener.Addr().(*net.TCPAddr).Port, func() { _ = server.Close(); serving.Wait() }, nil
}

// hungNode returns a node with instances whose checks hang, and some that are checked each second.
func hungNode(hung, silent, near int) catalog.NodeState {
	state := estate{services: 1, instances: hung + nearChecks}.node(0)
	state.Registrations = nil
	add := func(service string, n, port int, interval time.Duration) {
		i := estate{services: 1, instances: 1}.instance(n)
		i.Service, i.ID = service, fmt.Sprintf("%s-%d", service, n)
		target := fmt.Sprintf("http://127.0.%d.%d:%d/", n/250+1, n%250+1, port)
		def := catalog.Definition{Type: catalog.CheckHTTP, HTTP: target, Interval: catalog.Duration(interval)}
		state.Registrations = append(state.Registrations, catalog.Registration{Instance: i, Checks: []catalog.Check{{ID: i.ID, Definition: def}}})
	}
	for n := range hung {
		add("far", n, silent, time.Duration(1+n%10)*time.Second)
	}
	for n := range nearChecks {
		add("near", n, near, time.Second)
	}
	return state
}

// failures has the targets fail and recover, and returns the times until the catalog shows that of each.
func (k *koine) failures(ctx context.Context, failing *atomic.Bool) (took []time.Duration, err error) {
	for round := range hungRounds + 1 {
		begun := time.Now()
		failing.Store(round%2 == 1)
		healthy := map[bool]int{false: nearChecks, true: 0}[round%2 == 1]
		err := k.await(ctx, "wait for the outcome of the checks", func() bool {
			list, err := k.client.Lookup(ctx, catalog.Query{Service: "near"})
			return err == nil && len(list.Instances) == healthy
		})
		if err != nil {
			return nil, err
		}
		if round > 0 {
			took = append(took, time.Since(begun))
		}
	}
	return took, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
