package dns

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// newcomersServer has the neighbourhood's containers as residents.
func newcomersServer(t *testing.T) (*Server, *catalog.View) {
	view := catalog.NewView()
	view.SetNetworks(bridges())
	view.SetResidents(residents())
	return newTestServer(t, Config{View: view}, neighbourhood()), view
}

func residents(more ...catalog.Resident) []catalog.Resident {
	return append([]catalog.Resident{{ID: "web2", Addresses: []catalog.Address{named("10.1.0.3", "Front", "web2", "web")}}}, more...)
}

// answerOf is a reply to come, with what it took in fake time.
type answerOf struct {
	rcode string
	data  int
	took  time.Duration
}

// askLater sends a query from an address, and returns its reply when it comes.
func askLater(t *testing.T, s *Server, from, name string) <-chan answerOf {
	t.Helper()
	since := time.Now()
	w := s.newWorker()
	w.req.client = s.clientAt(netip.MustParseAddr(from))
	packed, err := query(name, dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan answerOf, 1)
	done := func(reply []byte) {
		m := parse(t, reply)
		answered <- answerOf{dns.RcodeToString[m.Rcode], len(m.Answer), time.Since(since)}
	}
	reply, out := w.answer(packed, false)
	if out == nil {
		done(reply)
		return answered
	}
	finish, reply := s.begin(w, out)
	if finish == nil {
		done(reply)
		return answered
	}
	go func() { done(finish(context.Background())) }()
	return answered
}

func TestNewcomers(t *testing.T) {
	const service = "svc-both.service.koine."
	both := catalog.Resident{ID: "new", Addresses: []catalog.Address{named("10.1.0.50", "Front", "new"), named("10.2.0.50", "back", "new")}}
	synctest.Test(t, func(t *testing.T) {
		s, view := newcomersServer(t)

		// The engine tells of the container while its query waits.
		answer := askLater(t, s, "10.2.0.50", "svc-web1.service.koine.") // on Front alone
		time.Sleep(30 * time.Millisecond)
		view.SetResidents(residents()) // of another one
		time.Sleep(20 * time.Millisecond)
		view.SetResidents(residents(both))
		if got := <-answer; got != (answerOf{"NOERROR", 1, 50 * time.Millisecond}) {
			t.Errorf("a container that becomes known: %+v", got)
		}
		// It is known from then on, and so is one that is not registered.
		if got := <-askLater(t, s, "10.2.0.50", "svc-web1.service.koine."); got != (answerOf{"NOERROR", 1, 0}) {
			t.Errorf("a known container: %+v", got)
		}
		// A container of the catalog, the host, and those elsewhere never wait.
		for from, want := range map[string]int{fromBack: 1, "10.1.0.1": 1, fromHost: 1, fromAfar: 0} {
			if got := <-askLater(t, s, from, service); got != (answerOf{"NOERROR", want, 0}) {
				t.Errorf("from %s: %+v", from, got)
			}
		}
		// The engine never tells of it.
		if got := <-askLater(t, s, "10.1.0.77", service); got != (answerOf{"SERVFAIL", 0, newcomerWait}) {
			t.Errorf("an unknown address: %+v", got)
		}
		// After a while it is taken for what it is.
		for range 3 {
			time.Sleep(strangerAfter / 2)
			<-askLater(t, s, "10.1.0.77", service)
		}
		if got := <-askLater(t, s, "10.1.0.77", service); got != (answerOf{"NOERROR", 1, 0}) {
			t.Errorf("a stranger: %+v", got)
		}
		// An address that a container had before is a newcomer's again, and so is one that was not heard of for long.
		view.SetResidents(residents())
		time.Sleep(strangerFor)
		for _, from := range []string{"10.2.0.50", "10.1.0.77"} {
			if got := <-askLater(t, s, from, service); got != (answerOf{"SERVFAIL", 0, newcomerWait}) {
				t.Errorf("%s, used again: %+v", from, got)
			}
		}
	})
}

// TestStrangersWithPauses holds that an address which no container has is answered from strangerAfter after its first query on, however
// seldom it asks.
func TestStrangersWithPauses(t *testing.T) {
	for _, tt := range []struct {
		pause  time.Duration
		failed int // of 40 lookups, of three queries each
	}{
		{5 * time.Second, 2}, {9900 * time.Millisecond, 1}, {strangerAfter, 1}, {15 * time.Second, 1}, {time.Minute, 1}, {10 * time.Minute, 1},
		{strangerFor - time.Second, 1},
	} {
		t.Run(tt.pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newcomersServer(t)
				failed := 0
				for range 40 {
					rcode := ""
					for try := 0; try < 3 && rcode != "NOERROR"; try++ {
						rcode = (<-askLater(t, s, "10.1.0.77", "svc-both.service.koine.")).rcode
					}
					if rcode != "NOERROR" {
						failed++
					}
					time.Sleep(tt.pause)
				}
				if failed != tt.failed {
					t.Errorf("%d lookups failed, want %d", failed, tt.failed)
				}
			})
		})
	}
}

// TestStrangersAddressGivenToContainers holds that a container with an address that was a stranger's is a newcomer, even if the one
// before it there never asked for anything.
func TestStrangersAddressGivenToContainers(t *testing.T) {
	const service = "svc-both.service.koine."
	quiet := func(id string) catalog.Resident {
		return catalog.Resident{ID: id, Addresses: []catalog.Address{named("10.1.0.77", "Front", id)}}
	}
	synctest.Test(t, func(t *testing.T) {
		s, view := newcomersServer(t)
		expect := func(what string, want answerOf) {
			t.Helper()
			if got := <-askLater(t, s, "10.1.0.77", service); got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		newcomer, stranger := answerOf{"SERVFAIL", 0, newcomerWait}, answerOf{"NOERROR", 1, 0}
		expect("first query", newcomer)
		time.Sleep(strangerAfter)
		expect("a stranger", stranger)
		view.SetResidents(residents(quiet("a")))
		time.Sleep(time.Second)
		view.SetResidents(residents())
		time.Sleep(time.Second)
		view.SetResidents(residents()) // of another one
		expect("after a container", newcomer)
		time.Sleep(strangerAfter)
		expect("a stranger again", stranger)
		view.SetResidents(residents(quiet("b")))
		view.SetResidents(residents(quiet("c")))
		expect("a container", stranger)
		view.SetResidents(residents())
		time.Sleep(time.Millisecond)
		expect("after two containers", newcomer)
		view.SetResidents(residents(catalog.Resident{ID: "d", Addresses: []catalog.Address{named("10.1.0.78", "Front", "d")}}))
		view.SetResidents(residents())
		time.Sleep(strangerAfter)
		expect("after one at another address", stranger)
	})
}

// TestNewcomersAreBounded holds that a flood from unknown addresses of one network neither takes memory nor keeps the newcomers of
// another from waiting, nor the queries for the upstream resolvers.
func TestNewcomersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, view := newcomersServer(t)
		var waiting []<-chan answerOf
		for i := range 20_000 {
			from := netip.AddrFrom4([4]byte{10, 1, byte(2 + i>>8), byte(i)})
			for range 1 + i%2*maxWaitingEach {
				waiting = append(waiting, askLater(t, s, from.String(), "web."))
			}
		}
		synctest.Wait()
		if n := s.newcomers.len(); n != maxWaiting {
			t.Errorf("%d queries wait", n)
		}
		if n := len(s.newcomers.lobbies["id-Front"].seen); n > maxStrangers {
			t.Errorf("%d addresses are remembered", n)
		}
		if len(s.outbound) != 0 {
			t.Errorf("%d queries take the place of others", len(s.outbound))
		}
		answer := askLater(t, s, "10.2.0.50", "svc-both.service.koine.")
		synctest.Wait()
		view.SetResidents(residents(catalog.Resident{ID: "new", Addresses: []catalog.Address{named("10.2.0.50", "back", "new")}}))
		if got := <-answer; got != (answerOf{"NOERROR", 1, 0}) {
			t.Errorf("a newcomer on another network: %+v", got)
		}
		for _, one := range waiting {
			<-one
		}
		if n := s.newcomers.len(); n != 0 || len(s.newcomers.lobbies["id-Front"].waiting) != 0 {
			t.Errorf("%d queries wait at the end", n)
		}
	})
}
