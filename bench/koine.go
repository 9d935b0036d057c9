package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// koine is a Koine process under measurement.
type koine struct {
	*process
	dir       string
	http, dns netip.AddrPort
	client    *client.Client
	// started is when the process was launched, took how long it needed to answer.
	started time.Time
	took    time.Duration
}

// startKoine starts Koine on a new data directory and waits until it is ready.
func startKoine(ctx context.Context, cfg *config) (*koine, error) {
	dir, err := os.MkdirTemp(cfg.scratch, "koine-")
	if err != nil {
		return nil, err
	}
	return openKoine(ctx, cfg, dir)
}

// openKoine starts Koine on a data directory that may hold data.
func openKoine(ctx context.Context, cfg *config, dir string) (*koine, error) {
	k := &koine{dir: dir}
	var err error
	if k.http, err = freePort(); err != nil {
		return nil, err
	}
	if k.dns, err = freePort(); err != nil {
		return nil, err
	}
	if k.client, err = client.New(client.Config{Address: k.http.String()}); err != nil {
		return nil, err
	}
	k.started = time.Now()
	k.process, err = launch(cfg.koine, "dev", "--data-dir", dir, "--http", k.http.String(), "--dns", k.dns.String(),
		"--docker", "off", "--upstream", "off", "--node", "here", "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	err = k.await(ctx, "wait for koine", func() bool {
		health, err := k.client.Health(ctx)
		return err == nil && health.Ready
	})
	k.took = time.Since(k.started)
	if err != nil {
		k.stop()
	}
	return k, err
}

// estate is services to load: each with the same number of instances, with the instances of one service spread apart.
type estate struct{ services, instances int }

func (e estate) total() int { return e.services * e.instances }

func serviceName(i int) string { return fmt.Sprintf("svc-%05d", i) }

// instance returns the n-th instance of an estate.
func (e estate) instance(n int) catalog.Instance {
	return catalog.Instance{
		ID: "i-" + strconv.Itoa(n), Service: serviceName(n % e.services), Source: "bench",
		Owner:     catalog.Owner{Kind: catalog.OwnerSession},
		Ports:     []catalog.Port{{Name: "http", Number: 8080}},
		Addresses: []catalog.Address{{IP: addressOf(n)}},
		Tags:      []string{"blue", "v2"},
		Meta:      map[string]string{"version": "2.14.1", "commit": "9f1c2ab7"},
	}
}

func addressOf(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// perNode is how many instances one declared node holds.
const perNode = 1000

// node returns the state of the i-th node of an estate.
func (e estate) node(i int) catalog.NodeState {
	state := catalog.NodeState{Node: catalog.Node{
		Name: fmt.Sprintf("node-%04d", i), Owner: catalog.Owner{Kind: catalog.OwnerPermanent},
		Addresses: []catalog.Address{{IP: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})}},
	}}
	for n := i * perNode; n < min((i+1)*perNode, e.total()); n++ {
		state.Registrations = append(state.Registrations, catalog.Registration{Instance: e.instance(n)})
	}
	return state
}

// load declares all of an estate, node by node.
func (k *koine) load(ctx context.Context, e estate) error {
	for i := 0; i*perNode < e.total(); i++ {
		if _, err := k.client.SyncNode(ctx, e.node(i)); err != nil {
			return fmt.Errorf("load node %d: %w", i, err)
		}
	}
	return nil
}
