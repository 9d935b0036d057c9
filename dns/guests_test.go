package dns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/eventually"
)

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventually.True(t, what, holds)
}

// freePort returns an address of loopback with no listener at the moment.
func freePort(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// answersAt reports whether the server answers at an address over both transports.
func answersAt(at netip.AddrPort) bool {
	for _, transport := range []string{"udp", "tcp"} {
		reply, err := resent(query("pub.service.koine.", dns.TypeA), at, transport)
		if err != nil || len(reply.Answer) != 1 {
			return false
		}
	}
	return true
}

// resent sends a query again while it gets no reply, because a socket that was closed may have received it. It fails at
// once if nothing listens.
func resent(q *dns.Msg, at netip.AddrPort, network string) (m *dns.Msg, err error) {
	c := &dns.Client{Net: network, Timeout: 2 * time.Second}
	for end := time.Now().Add(eventually.Patience); time.Now().Before(end); {
		m, _, err = c.Exchange(q, at.String())
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return m, err
}

func TestListenAtSeveralAddresses(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	for _, addr := range []string{"127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"} {
		if err := s.Listen(addr); err != nil {
			t.Fatal(err)
		}
	}
	all := []netip.AddrPort{s.Addr(), s.also[0].Addr(), s.also[1].Addr()}
	serve(t, s)
	for _, at := range all {
		if !answersAt(at) {
			t.Errorf("no answer at %v", at)
		}
	}
}

func TestListenFailsAsAWhole(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := newTestServer(t, Config{}, nil)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	first := s.Addr()
	if err := s.Listen(taken.Addr().String()); err == nil {
		t.Fatal("a taken address is listened on")
	}
	again, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(first))
	if err != nil {
		t.Fatalf("the first address is still bound: %v", err)
	}
	again.Close()
}

// TestGuestsComeAndGo has addresses wanted, given up, taken by others and freed while the server runs.
func TestGuestsComeAndGo(t *testing.T) {
	s := newTestServer(t, Config{}, estate())
	start(t, s, "127.0.0.1:0")
	one, two := freePort(t, "127.0.0.2"), freePort(t, "127.0.0.3")
	s.ListenAlso([]netip.AddrPort{one})
	await(t, "the first answers", func() bool { return answersAt(one) })
	s.ListenAlso([]netip.AddrPort{one, two})
	await(t, "both answer", func() bool { return answersAt(one) && answersAt(two) })
	s.ListenAlso([]netip.AddrPort{two})
	await(t, "the first is given up", func() bool {
		listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(one))
		if err != nil {
			return false
		}
		listener.Close()
		return true
	})
	if !answersAt(two) || !answersAt(s.Addr()) {
		t.Error("those that are still wanted do not answer")
	}

	taken, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(one))
	if err != nil {
		t.Fatal(err)
	}
	s.ListenAlso([]netip.AddrPort{one, two})
	await(t, "the other answers", func() bool { return answersAt(two) })
	taken.Close()
	await(t, "the address that was taken answers once it is free", func() bool { return answersAt(one) })
}
