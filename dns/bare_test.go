package dns

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// projects are two Compose projects on networks of their own, one network that they share, and one of plain containers.
func projects() []catalog.Network {
	network := func(id, subnet, gateway string) catalog.Network {
		return catalog.Network{ID: "id-" + id, Name: id, Subnets: []netip.Prefix{netip.MustParsePrefix(subnet)},
			Gateways: []netip.Addr{netip.MustParseAddr(gateway)}}
	}
	list := []catalog.Network{
		network("test", "10.1.0.0/16", "10.1.0.1"), network("prod", "10.2.0.0/16", "10.2.0.1"),
		network("shared", "10.3.0.0/16", "10.3.0.1"), network("plain", "10.4.0.0/16", "10.4.0.1"),
	}
	list[0].Short, list[1].Short = "Default", "Default" // each in its own Compose file
	return list
}

// of makes an instance one of a Compose project, or of none, and published on the host of its node.
func of(project, node, id, service string, addresses ...catalog.Address) catalog.Change {
	host := "192.0.2.1"
	if node != "n1" {
		host = "192.0.2.2"
	}
	i := catalog.Instance{ID: id, Node: node, Service: service, Ports: []catalog.Port{http80},
		Owner: catalog.Owner{Kind: catalog.OwnerContainer, ID: id}, Addresses: append(addresses, ip(host, catalog.NetworkHost))}
	if project != "" {
		i.Meta = map[string]string{catalog.MetaProject: project}
	}
	return instance(i)
}

// removal deletes an instance.
func removal(node, id string) catalog.Change {
	return catalog.Change{Type: catalog.RecordInstance, Name: node, ID: id}
}

// TestBareNamesStayWithTheirProject holds that a bare name which a container of the client's networks or project has, or has
// had, is never answered by a service of another project, whatever has become of the container.
func TestBareNamesStayWithTheirProject(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	app := catalog.Resident{ID: "app", Project: "test", Names: []string{"app"}, Addresses: []catalog.Address{named("10.1.0.9", "test", "app")}}
	plain := catalog.Resident{ID: "job", Names: []string{"job"}, Addresses: []catalog.Address{named("10.4.0.9", "plain", "job")}}
	stopped := func(project, network, id string, names ...string) catalog.Resident {
		a := named("10.1.0.2", network, names...)
		a.IP = netip.Addr{}
		return catalog.Resident{ID: id, Project: project, Names: names, Addresses: []catalog.Address{a}, Left: long}
	}
	prod := []catalog.Change{
		node("n1", ip("192.0.2.1", catalog.NetworkHost)), node("n2", ip("192.0.2.2", catalog.NetworkHost)),
		of("prod", "n1", "prod-db-1", "db", named("10.2.0.2", "prod", "prod-db-1", "db")),
		of("", "n1", "queue", "queue", named("10.2.0.3", "prod", "queue")),
		of("", "n2", "redis", "redis", named("10.99.0.3", "elsewhere", "redis")),
		of("prod", "n1", "prod-mail-1", "mail", named("10.2.0.5", "prod", "prod-mail-1"), named("10.3.0.5", "shared", "prod-mail-1")),
	}
	testDB := of("test", "n1", "test-db-1", "db", named("10.1.0.2", "test", "test-db-1", "db", "database"))
	otherTestDB := of("test", "n2", "test-db-2", "db", named("10.98.0.2", "elsewhere", "db"))

	shared := catalog.Resident{ID: "app", Project: "test", Addresses: []catalog.Address{named("10.1.0.9", "test", "app"), named("10.3.0.9", "shared", "app")}}
	both := catalog.Resident{ID: "app", Addresses: []catalog.Address{named("10.1.0.9", "test", "app"), named("10.2.0.9", "prod", "app")}}
	// ill is a container of the project on another host that is not healthy.
	ill := func(service string, names ...string) []catalog.Change {
		return []catalog.Change{of("test", "n2", "ill", service, named("10.98.0.7", "elsewhere", names...)), critical("n2", "ill")}
	}

	for _, tt := range []struct {
		name      string
		residents []catalog.Resident
		before    []catalog.Change // in the catalog, and then removed
		also      []catalog.Change
		from, ask string
		qtype     uint16
		want      string
	}{
		{name: "never had", residents: []catalog.Resident{app}, from: "10.1.0.9", ask: "db.", want: "NXDOMAIN"},
		{name: "stopped long ago", residents: []catalog.Resident{app, stopped("test", "test", "x", "test-db-1", "db")}, from: "10.1.0.9", ask: "db.", want: "NXDOMAIN"},
		{name: "stopped just now", residents: []catalog.Resident{app}, before: []catalog.Change{testDB}, from: "10.1.0.9", ask: "db.", want: "NOERROR"},
		{name: "AAAA only", residents: []catalog.Resident{app}, before: []catalog.Change{testDB}, from: "10.1.0.9", ask: "db.", qtype: dns.TypeAAAA, want: "NOERROR"},
		{name: "alias", residents: []catalog.Resident{app}, before: []catalog.Change{testDB}, from: "10.1.0.9", ask: "database.", want: "NOERROR"},
		{name: "with the network's name", residents: []catalog.Resident{app}, before: []catalog.Change{testDB}, from: "10.1.0.9", ask: "db.test.", want: "NOERROR"},
		{name: "with the network's name, long ago", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")}, from: "10.1.0.9", ask: "db.test.", want: "NXDOMAIN"},
		{name: "with the network's name in the Compose file", residents: []catalog.Resident{app}, before: []catalog.Change{testDB}, from: "10.1.0.9", ask: "db.DEFAULT.", want: "NOERROR"},
		{name: "with the network's name in the Compose file, long ago", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")},
			from: "10.1.0.9", ask: "db.default.", want: "NXDOMAIN"},
		{name: "with the network's name in the Compose file, not registered", residents: []catalog.Resident{app, {ID: "x", Project: "test", Names: []string{"queue"},
			Addresses: []catalog.Address{named("10.1.0.3", "test", "queue")}}}, from: "10.1.0.9", ask: "queue.default.", qtype: dns.TypeAAAA, want: "NOERROR"},
		{name: "with the network's name in the Compose file, never had", residents: []catalog.Resident{app}, from: "10.1.0.9", ask: "db.default.", want: "REFUSED"},
		{name: "with the name of two networks in Compose files", residents: []catalog.Resident{both, stopped("", "prod", "x", "old")},
			from: "10.1.0.9", ask: "old.default.", want: "NXDOMAIN"},
		{name: "with the name of two networks in Compose files, the later counts", residents: []catalog.Resident{both, stopped("", "prod", "x", "database"), stopped("", "test", "y", "database")},
			before: []catalog.Change{testDB}, from: "10.1.0.9", ask: "database.default.", want: "NOERROR"},
		{name: "port with the network's name in the Compose file", residents: []catalog.Resident{app}, also: []catalog.Change{testDB}, from: "10.1.0.9",
			ask: "_http._tcp.db.default.", qtype: dns.TypeSRV, want: "NOERROR 1 1 80 0a010002.addr.dc1.koine."},
		{name: "port with the network's name in the Compose file, gone", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")}, from: "10.1.0.9",
			ask: "_http._tcp.db.default.", qtype: dns.TypeSRV, want: "NXDOMAIN"},
		{name: "below a name with the network's in the Compose file", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")}, from: "10.1.0.9",
			ask: "x.y.db.default.", want: "NXDOMAIN"},
		{name: "on another network of the project", residents: []catalog.Resident{app, stopped("test", "back", "x", "queue")}, from: "10.1.0.9", ask: "queue.", want: "NXDOMAIN"},
		{name: "running, not registered", residents: []catalog.Resident{app, {ID: "x", Project: "test", Names: []string{"queue"},
			Addresses: []catalog.Address{named("10.1.0.3", "test", "queue")}}}, from: "10.1.0.9", ask: "queue.", want: "NOERROR"},
		{name: "stopped, the service is of no project", residents: []catalog.Resident{app, stopped("test", "test", "x", "queue")}, from: "10.1.0.9", ask: "queue.", want: "NXDOMAIN"},
		{name: "own project on another host", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")}, also: []catalog.Change{otherTestDB},
			from: "10.1.0.9", ask: "db.", want: "NOERROR 192.0.2.2"},
		{name: "own project beside another", residents: []catalog.Resident{app}, also: []catalog.Change{otherTestDB}, from: "10.1.0.9", ask: "db.", want: "NOERROR 192.0.2.2"},
		{name: "own project on another host, ill, beside no project's service", residents: []catalog.Resident{app}, also: ill("queue", "test-queue-1", "queue"),
			from: "10.1.0.9", ask: "queue.", want: "NOERROR"},
		{name: "own project on another host, ill, beside another on a shared network", residents: []catalog.Resident{shared}, also: ill("mail", "test-mail-1", "mail"),
			from: "10.1.0.9", ask: "MAIL.", want: "NOERROR"},
		{name: "own project on another host, by an alias", residents: []catalog.Resident{app}, also: ill("jobs", "test-jobs-1", "queue"),
			from: "10.1.0.9", ask: "queue.", want: "NOERROR"},
		{name: "own project on another host, by its service", residents: []catalog.Resident{app}, also: ill("queue", "test-jobs-1"), from: "10.1.0.9", ask: "queue.", want: "NOERROR"},
		{name: "own project on another host, AAAA", residents: []catalog.Resident{app}, also: ill("queue", "queue"), from: "10.1.0.9", ask: "queue.",
			qtype: dns.TypeAAAA, want: "NOERROR"},
		{name: "port of the own project on another host", residents: []catalog.Resident{app}, also: ill("queue", "queue"), from: "10.1.0.9", ask: "_http._tcp.queue.",
			qtype: dns.TypeSRV, want: "NOERROR"},
		{name: "port of the own project on another host, by an alias", residents: []catalog.Resident{app}, also: ill("jobs", "queue"), from: "10.1.0.9",
			ask: "_http._tcp.queue.", qtype: dns.TypeSRV, want: "NXDOMAIN"},
		{name: "below the own project's on another host", residents: []catalog.Resident{app}, also: ill("workers", "workers"), from: "10.1.0.9", ask: "x.workers.", want: "NXDOMAIN"},
		{name: "own service of a container that has gone", residents: []catalog.Resident{app}, before: ill("queue", "test-jobs-1")[:1], from: "10.1.0.9", ask: "queue.", want: "NOERROR"},
		{name: "no project's service beside another name of the own project", residents: []catalog.Resident{app}, also: ill("jobs", "jobs"), from: "10.1.0.9",
			ask: "queue.", want: "NOERROR 192.0.2.1"},
		{name: "no project's service", residents: []catalog.Resident{app}, from: "10.1.0.9", ask: "queue.", want: "NOERROR 192.0.2.1"},
		{name: "full name", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")}, from: "10.1.0.9", ask: "db.service.koine.", want: "NOERROR 192.0.2.1"},
		{name: "another project on a shared network", residents: []catalog.Resident{{ID: "app", Project: "test", Addresses: []catalog.Address{
			named("10.1.0.9", "test", "app"), named("10.3.0.9", "shared", "app")}}}, from: "10.1.0.9", ask: "mail.", want: "NOERROR 10.3.0.5"},
		{name: "another project, no shared network", residents: []catalog.Resident{app}, from: "10.1.0.9", ask: "mail.", want: "NXDOMAIN"},
		{name: "plain client, nothing claimed", residents: []catalog.Resident{plain}, from: "10.4.0.9", ask: "db.", want: "NOERROR 192.0.2.1"},
		{name: "plain client, another project's", residents: []catalog.Resident{plain, stopped("", "plain", "x", "db")}, from: "10.4.0.9", ask: "db.", want: "NXDOMAIN"},
		{name: "plain client, another network of this host", residents: []catalog.Resident{plain, stopped("", "plain", "x", "queue")}, from: "10.4.0.9", ask: "queue.", want: "NXDOMAIN"},
		{name: "plain client, moved to another host", residents: []catalog.Resident{plain, stopped("", "plain", "x", "redis")}, from: "10.4.0.9", ask: "redis.", want: "NOERROR 192.0.2.2"},
		{name: "port of a name that is gone", residents: []catalog.Resident{app, stopped("test", "test", "x", "db")}, from: "10.1.0.9", ask: "_http._tcp.db.", qtype: dns.TypeSRV, want: "NXDOMAIN"},
		{name: "port of another project's", residents: []catalog.Resident{app}, from: "10.1.0.9", ask: "_http._tcp.db.", qtype: dns.TypeSRV, want: "REFUSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			view := catalog.NewView()
			view.SetNetworks(projects())
			view.SetResidents(tt.residents)
			changes := append(append([]catalog.Change{}, prod...), tt.also...)
			s := newTestServer(t, Config{View: view}, append(changes, tt.before...))
			for _, c := range tt.before {
				view.Apply(view.Revision()+1, []catalog.Change{removal(c.Name, c.ID)})
			}
			if tt.qtype == 0 {
				tt.qtype = dns.TypeA
			}
			if got := askAs(t, s, tt.from, tt.ask, tt.qtype); got != tt.want {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
		})
	}
}

// TestBelowBareNames holds that what is below a bare name of the client's is not asked of the upstream resolvers, unless the
// name is a domain of the internet.
func TestBelowBareNames(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	changes := append(neighbourhood(),
		instance(catalog.Instance{ID: "app", Node: "n1", Service: "app", Ports: []catalog.Port{http80, admin81},
			Addresses: []catalog.Address{named("10.1.0.20", "Front", "app"), ip("192.0.2.1", catalog.NetworkHost)}}),
		instance(catalog.Instance{ID: "internal", Node: "n1", Service: "x", Addresses: []catalog.Address{named("10.1.0.21", "Front", "internal", "api.example.com")}}))
	s := newTestServer(t, Config{View: view, Upstreams: []string{"zone.web1=127.0.0.1:1", "127.0.0.1:1"}, UpstreamTimeout: time.Millisecond}, changes)
	const upstream = "REFUSED" // not forwarded for this client
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"_grpclb._tcp.web.", dns.TypeSRV, "NXDOMAIN"},
		{"_grpc_config.web.", dns.TypeTXT, "NXDOMAIN"},
		{"nosuch.web.", dns.TypeA, "NXDOMAIN"},
		{"a.b.nosuch.Web1.", dns.TypeAAAA, "NXDOMAIN"},
		{"nosuch.web.front.", dns.TypeA, "NXDOMAIN"},
		{"_tcp.web.", dns.TypeA, "NOERROR"},
		{"_http._tcp.web.", dns.TypeSRV, "NOERROR 1 1 80 0a010002.addr.dc1.koine. 1 1 80 0a010003.addr.dc1.koine."},
		{"_80._tcp.web.", dns.TypeSRV, "NOERROR 1 1 80 0a010002.addr.dc1.koine. 1 1 80 0a010003.addr.dc1.koine."},
		{"_http._tcp.web.", dns.TypeA, "NOERROR 10.1.0.2 10.1.0.3"},
		{"_http._tcp.web1.front.", dns.TypeSRV, "NOERROR 1 1 80 0a010002.addr.dc1.koine."},
		{"_http._tcp.svc-db.", dns.TypeSRV, "NOERROR 1 1 30080 c0000201.addr.dc1.koine."}, // a service
		{"_admin._tcp.app.", dns.TypeSRV, "NOERROR 1 1 81 0a010014.addr.dc1.koine."},
		{"_grpclb._tcp.app.", dns.TypeSRV, "NXDOMAIN"},
		{"nosuch.svc-db.", dns.TypeA, "NXDOMAIN"},
		// Domains of others.
		{"cash.app.", dns.TypeA, upstream},
		{"db.corp.internal.", dns.TypeA, upstream},
		{"www.api.example.com.", dns.TypeA, upstream},
		{"_http._tcp.api.example.com.", dns.TypeSRV, upstream},
		{"x.zone.web1.", dns.TypeA, upstream},
		{"x.nosuch.", dns.TypeA, upstream},
		{"example.com.", dns.TypeA, upstream},
		{"x.web.", dns.TypeDS, upstream},
	} {
		t.Run(fmt.Sprint(tt.name, dns.TypeToString[tt.qtype]), func(t *testing.T) {
			if got := askAs(t, s, fromFront, tt.name, tt.qtype); got != tt.want {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
		})
	}
}

// TestContainersCalledAsTheDomains holds that a container may have the name of a domain of the server's.
func TestContainersCalledAsTheDomains(t *testing.T) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	changes := append(neighbourhood(), instance(catalog.Instance{ID: "consul", Node: "n1", Service: "consul",
		Addresses: []catalog.Address{named("10.1.0.20", "Front", "consul", "koine")}}))
	s := newTestServer(t, Config{View: view}, changes)
	for _, tt := range []struct {
		from, name string
		qtype      uint16
		want       string
	}{
		{fromFront, "consul.", dns.TypeA, "NOERROR 10.1.0.20"},
		{fromFront, "KOINE.", dns.TypeA, "NOERROR 10.1.0.20"},
		{fromFront, "consul.", dns.TypeAAAA, "NOERROR"},
		{fromFront, "consul.", dns.TypeNS, "NOERROR ns.consul."},
		{fromFront, "consul.service.consul.", dns.TypeA, "NOERROR 10.1.0.20"},
		{fromFront, "nosuch.consul.", dns.TypeA, "NXDOMAIN"},
		{fromBack, "consul.", dns.TypeA, "NOERROR"},
		{fromHost, "consul.", dns.TypeA, "NOERROR"},
	} {
		if got := askAs(t, s, tt.from, tt.name, tt.qtype); got != tt.want {
			t.Errorf("%s asks %s %s: %q, want %q", tt.from, tt.name, dns.TypeToString[tt.qtype], got, tt.want)
		}
	}
	w := seeded(s, 1)
	w.req.client = s.clientAt(netip.MustParseAddr(fromFront))
	if reply := ask(t, w, query("consul.", dns.TypeSOA), false); len(reply.Answer) != 1 || reply.Answer[0].(*dns.SOA).Ns != "ns.consul." {
		t.Errorf("SOA: %v", reply)
	}
}
