package test

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	mdns "github.com/miekg/dns"
	moby "github.com/moby/moby/client"
)

// upstream is a resolver that records the names it is asked for.
type upstream struct {
	at string

	mu    sync.Mutex
	names []string
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{at: conn.LocalAddr().String()}
	server := &mdns.Server{PacketConn: conn, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, m *mdns.Msg) {
		u.mu.Lock()
		u.names = append(u.names, m.Question[0].Name)
		u.mu.Unlock()
		reply := new(mdns.Msg).SetReply(m)
		rr, _ := mdns.NewRR(m.Question[0].Name + " 60 IN A 203.0.113.80")
		reply.Answer = []mdns.RR{rr}
		_ = w.WriteMsg(reply)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
	return u
}

// saw reports whether a name that holds a text was asked for.
func (u *upstream) saw(text string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range u.names {
		if strings.Contains(name, text) {
			return true
		}
	}
	return false
}

// TestInternalNetworks asks from inside of containers on internal networks: no name gets out, unless --forward-internal lets it.
func TestInternalNetworks(t *testing.T) {
	e := docker{startDocker(t)}
	u := startUpstream(t)
	internal := func(o *moby.NetworkCreateOptions) { o.Internal = true }
	e.network("closed", "10.84.0.0/24", internal)
	e.network("also-closed", "10.84.1.0/24", internal)
	e.network("open", "10.84.2.0/24")
	e.Run(service("inner", "inner", on("closed")))
	e.Run(service("hidden", "x", on("closed"), label("koine.ignore", "true")))
	e.Run(service("both-closed", "y", on("closed")))
	e.connect("both-closed", "also-closed")
	e.Run(service("mixed", "z", on("closed")))
	e.connect("mixed", "open")
	e.Run(service("hidden-mixed", "x", on("closed"), label("koine.ignore", "true")))
	e.connect("hidden-mixed", "open")

	start := func(more ...string) *koine {
		k := newKoine(t, append([]string{"--docker", e.Host(), "--dns", "127.0.0.1:18600,bridge"}, more...)...)
		k.args[slices.Index(k.args, "--upstream")+1] = u.at
		k.start()
		return k
	}
	ask := func(from, name, over string) string {
		got, err := e.resolve(from, "10.84.0.1:53", name, mdns.TypeA, over)
		if err != nil {
			t.Logf("%s asks for %s over %s: %v", from, name, over, err)
		}
		return got
	}
	k := start()
	await(t, "a container that may ask gets an answer", func() bool { return ask("mixed", "a.mixed.example", "udp") == "NOERROR 203.0.113.80" })
	await(t, "one that is not registered gets an answer, too", func() bool { return ask("hidden-mixed", "a.hidden-mixed.example", "udp") == "NOERROR 203.0.113.80" })
	for _, from := range []string{"inner", "hidden", "both-closed"} {
		for _, over := range []string{"udp", "tcp"} {
			if got := ask(from, "secret."+from+".example", over); got != "REFUSED" {
				t.Errorf("%s over %s: %q", from, over, got)
			}
		}
		if got := ask(from, "inner", "udp"); got != "NOERROR 10.84.0.2" {
			t.Errorf("%s asks for its neighbour: %q", from, got)
		}
	}
	if u.saw("secret") {
		t.Errorf("names got out: %v", u.names)
	}
	if err := k.stop(); err != nil {
		t.Error(err)
	}

	start("--forward-internal")
	await(t, "a container on an internal network gets an answer", func() bool { return ask("inner", "allowed.example", "udp") == "NOERROR 203.0.113.80" })
	if !u.saw("allowed") {
		t.Error("the resolver was not asked")
	}
}
