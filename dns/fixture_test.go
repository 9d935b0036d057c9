package dns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/leak"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) { leak.Main(m) }

func ip(text, network string) catalog.Address {
	return catalog.Address{Network: network, IP: netip.MustParseAddr(text)}
}

func node(name string, addresses ...catalog.Address) catalog.Change {
	n := &catalog.Node{Name: name, Addresses: addresses, Owner: catalog.Owner{Kind: catalog.OwnerPermanent}}
	return catalog.Change{Type: catalog.RecordNode, Name: name, Node: n, ModRevision: 7}
}

func instance(i catalog.Instance) catalog.Change {
	return catalog.Change{Type: catalog.RecordInstance, Name: i.Node, ID: i.ID, Instance: &i}
}

func critical(node, instance string) catalog.Change {
	c := &catalog.Check{ID: "c-" + instance, Node: node, Instance: instance, Status: catalog.Critical}
	return catalog.Change{Type: catalog.RecordCheck, Name: node, ID: c.ID, Check: c}
}

var (
	http80  = catalog.Port{Name: "http", Number: 80, Published: 30080}
	admin81 = catalog.Port{Name: "Admin", Number: 81}
	dns53   = catalog.Port{Name: "dns", Number: 53, Protocol: "udp"}
)

// estate is a small catalog with one of everything.
func estate() []catalog.Change {
	n1 := node("n1", ip("10.0.0.1", ""), ip("fd00::1", ""))
	n1.Node.Meta = map[string]string{"rack": "7", "rfc1035-note": "plain", "a=b": "c`d"}
	down := instance(catalog.Instance{ID: "down", Node: "n1", Service: "down", Ports: []catalog.Port{http80},
		Addresses: []catalog.Address{ip("10.1.0.9", "net")}, Tags: []string{"blue"}})
	return []catalog.Change{
		n1,
		node("Named", catalog.Address{Host: "host.example.com"}),
		node("bare"),
		instance(catalog.Instance{ID: "w1", Node: "n1", Service: "web", Ports: []catalog.Port{http80, admin81, dns53},
			Addresses: []catalog.Address{ip("10.1.0.1", "net"), ip("10.2.0.1", "other"), ip("fd01::1", "net")},
			Tags:      []string{"Blue", "v1.2"}, Meta: map[string]string{"colour": "blue"}}),
		instance(catalog.Instance{ID: "w2", Node: "n1", Service: "Web", Ports: []catalog.Port{http80}, Weight: 3,
			Addresses: []catalog.Address{ip("10.1.0.2", "net")}, Tags: []string{"green"}, Meta: map[string]string{"colour": "green"}}),
		instance(catalog.Instance{ID: "w3", Node: "n1", Service: "web", Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{ip("10.1.0.3", "net")}, Tags: []string{"ill"}}),
		critical("n1", "w3"),
		down, critical("n1", "down"),
		instance(catalog.Instance{ID: "pub", Node: "n1", Service: "pub", Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{ip("10.0.0.1", catalog.NetworkHost), ip("10.1.0.4", "net")}}),
		instance(catalog.Instance{ID: "bare", Node: "n1", Service: "nodeaddr", Ports: []catalog.Port{http80}}),
		instance(catalog.Instance{ID: "noport", Node: "n1", Service: "noport"}),
		instance(catalog.Instance{ID: "ext", Node: "n1", Service: "ext", Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{{Host: "db.example.com"}}}),
		instance(catalog.Instance{ID: "alias", Node: "n1", Service: "alias", Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{{Host: "pub.service.koine"}}}),
		instance(catalog.Instance{ID: "loop", Node: "n1", Service: "loop", Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{{Host: "loop.service.koine"}}}),
		instance(catalog.Instance{ID: "six", Node: "n1", Service: "six", Ports: []catalog.Port{dns53},
			Addresses: []catalog.Address{ip("fd01::6", "net")}}),
		instance(catalog.Instance{ID: "nowhere", Node: "bare", Service: "nowhere", Ports: []catalog.Port{http80}}),
		instance(catalog.Instance{ID: "drained", Node: "n1", Service: "drained", Ports: []catalog.Port{http80}, Drain: "stop"}),
	}
}

// fleet is n instances of the service "fleet", each with an address of its own.
func fleet(n int, change func(int, *catalog.Instance)) []catalog.Change {
	changes := []catalog.Change{node("n1", ip("10.0.0.1", ""))}
	for i := range n {
		one := catalog.Instance{ID: fmt.Sprintf("f%05d", i), Node: "n1", Service: "fleet", Ports: []catalog.Port{http80},
			Addresses: []catalog.Address{{Network: "net", IP: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}}}
		if change != nil {
			change(i, &one)
		}
		changes = append(changes, instance(one))
	}
	return changes
}

func newTestServer(t testing.TB, cfg Config, changes []catalog.Change) *Server {
	t.Helper()
	if cfg.View == nil {
		cfg.View = catalog.NewView()
	}
	if changes != nil {
		cfg.View.Load(42, changes)
	}
	if cfg.Upstreams == nil {
		cfg.NoForward = true
	}
	cfg.Node = "n1"
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seeded returns a worker whose random order is the same in every run. Its client is the host.
func seeded(s *Server, seed uint64) *worker {
	w := s.newWorker()
	w.req.client.ip = netip.MustParseAddr(fromHost)
	w.rng = rand.New(rand.NewPCG(seed, 1))
	return w
}

func query(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype)
}

// ask has the worker answer a query, without a socket.
func ask(t testing.TB, w *worker, q *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply, out := w.answer(packed, tcp)
	if out != nil {
		reply = w.server.finish(context.Background(), out)
	}
	return parse(t, reply)
}

func parse(t testing.TB, reply []byte) *dns.Msg {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply does not parse: %v\n%x", err, reply)
	}
	return &m
}

// start runs a server on a free port of loopback until the test ends.
func start(t testing.TB, s *Server, addr string) netip.AddrPort {
	t.Helper()
	if err := s.Listen(addr); err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return s.Addr()
}

// serve runs a server that listens already until the test ends.
func serve(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
