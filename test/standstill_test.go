package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// stillTTL is the time to live of all that the tests of a standstill renew, or do not.
const stillTTL = 10 * time.Second

// stand has the process stand still for a time, as a frozen virtual machine does.
func (k *koine) stand(d time.Duration) {
	k.t.Helper()
	k.signal(syscall.SIGSTOP)
	time.Sleep(d) // the time for which it stands still is the subject
	k.signal(syscall.SIGCONT)
}

func (k *koine) signal(s syscall.Signal) {
	k.t.Helper()
	if err := k.cmd.Process.Signal(s); err != nil {
		k.t.Fatal(err)
	}
}

// leased returns a registration that lives for stillTTL.
func leased(node, id, service string) catalog.Registration {
	r := permanent(id, service)
	r.Instance.Node = node
	r.Instance.Owner = catalog.Owner{Kind: catalog.OwnerLease, TTL: catalog.Duration(stillTTL)}
	return r
}

// estateServices are the services of an estate.
var estateServices = []string{"web", "beat", "lease", "away"}

// estate starts Koine with one of everything that ends by itself: a service of a file with a check, one with a TTL check ("beat"),
// three instances with a lease ("lease"), and one on a node that was declared over HTTP ("away").
func estate(t *testing.T) *koine {
	t.Helper()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { web.Close() })
	conf := t.TempDir()
	definition := fmt.Sprintf(`{"services": [
		{"name": "web", "address": "127.0.0.1", "check": {"tcp": %q, "interval": "1s", "timeout": "500ms"}},
		{"name": "beat", "address": "127.0.0.1", "check": {"id": "beat", "ttl": %q}}]}`, web.Addr(), stillTTL)
	if err := os.WriteFile(filepath.Join(conf, "services.json"), []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKoine(t, "--docker", "off", "--config-dir", conf).start()
	k.await("everything is answered", func() bool {
		k.renewAll()
		return len(k.lookup("web"))+len(k.lookup("beat"))+len(k.lookup("lease"))+len(k.lookup("away")) == 6
	})
	return k
}

// renewAll renews, or makes, all that ends by itself.
func (k *koine) renewAll() {
	k.t.Helper()
	ctx := k.t.Context()
	away := catalog.NodeState{Node: catalog.Node{Name: "away", Owner: catalog.Owner{Kind: catalog.OwnerSession, TTL: catalog.Duration(stillTTL)},
		Addresses: []catalog.Address{{IP: netip.MustParseAddr("127.0.0.9")}}}}
	away.Registrations = []catalog.Registration{{Instance: catalog.Instance{ID: "away", Service: "away", Ports: []catalog.Port{{Number: 80}}}}}
	if _, err := k.client.SyncNode(ctx, away); err != nil {
		k.t.Error(err)
	}
	for _, id := range []string{"l1", "l2", "l3"} {
		if _, err := k.client.Register(ctx, leased("n1", id, "lease")); err != nil {
			k.t.Error(err)
		}
	}
	if err := k.client.PushCheck(ctx, "n1", "beat", catalog.Passing, ""); err != nil {
		k.t.Error(err)
	}
}

// changes follows all services until stop is called, which returns what was reported after the present state.
func (k *koine) changes() (stop func() []string) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	var lines []string
	current, once := make(chan struct{}), sync.Once{}
	var following sync.WaitGroup
	following.Go(func() {
		seen := make(map[string]bool)
		for event, err := range k.client.Watch(ctx, client.WatchOptions{Services: estateServices}) {
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				lines = append(lines, err.Error())
			case seen[event.Service]:
				lines = append(lines, fmt.Sprintf("%s has %d instances", event.Service, len(event.Instances)))
			}
			if seen[event.Service] = true; len(seen) == len(estateServices) && err == nil {
				once.Do(func() { close(current) })
			}
		}
	})
	<-current
	return func() []string {
		cancel()
		following.Wait()
		return lines
	}
}

// answersAll checks that DNS answers for everything in the estate.
func (k *koine) answersAll(when string) {
	k.t.Helper()
	for service, want := range map[string]int{"web": 1, "beat": 1, "lease": 1, "away": 1} {
		if got := k.addresses(service); len(got) != want {
			k.t.Errorf("%s: DNS answers %v for %s, want %d", when, got, service, want)
		}
	}
	if found := k.lookup("lease"); len(found) != 3 {
		k.t.Errorf("%s: HTTP answers %v for lease, want 3", when, found)
	}
}

// TestStandstillEndsNothing has the process stand still, for longer than all that is renewed lives.
func TestStandstillEndsNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		// stand has the process stand still. Nothing is renewed meanwhile.
		stand func(k *koine)
		said  int
	}{
		{"once", func(k *koine) { k.stand(stillTTL * 3 / 2) }, 1},
		{"several times in a row", func(k *koine) {
			for range 3 {
				k.stand(stillTTL / 2)
				k.answersAll("in between")
			}
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := estate(t)
			stop := k.changes()
			k.renewAll()
			tt.stand(k)
			k.answersAll("before a renewal")
			k.renewAll()
			k.answersAll("after a renewal")
			if got := stop(); len(got) > 0 {
				t.Errorf("a watch reports changes:\n%s", strings.Join(got, "\n"))
			}
			said := k.stderr.String()
			if n := strings.Count(said, "the process stood still"); n < tt.said {
				t.Errorf("%d lines say how long it stood still, want %d", n, tt.said)
			}
			events, err := k.client.Events(t.Context(), client.EventOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Type == catalog.EventNodeDown {
					t.Errorf("a node counts as dead: %+v", e)
				}
			}
		})
	}
}

// TestRestartRenewsNothing starts the process again and again, more often than what nobody renews lives for.
func TestRestartRenewsNothing(t *testing.T) {
	k := estate(t)
	begun := time.Now()
	ended := func() bool { return len(k.lookup("lease"))+len(k.lookup("beat"))+len(k.lookup("away")) == 0 }
	for restarts := 1; ; restarts++ {
		time.Sleep(7 * stillTTL / 10)
		if ended() {
			t.Logf("ended after %d restarts, %v after the last renewal", restarts-1, time.Since(begun))
			break
		}
		if restarts > 4 { // each of which begins within the TTL of the one before
			t.Fatalf("after %v and %d restarts there are lease %v, beat %v, away %v", time.Since(begun), restarts-1,
				k.lookup("lease"), k.lookup("beat"), k.lookup("away"))
		}
		if err := k.stop(); err != nil {
			t.Fatal(err)
		}
		k.start()
	}
	k.awaitAddresses("web", "127.0.0.1")
	k.renewAll()
	k.awaitAddresses("beat", "127.0.0.1")
}

// TestKilledWhileEverythingRanOut kills the process, and starts it after everything has run out. What is not renewed within the
// grace ends; what is renewed does not.
func TestKilledWhileEverythingRanOut(t *testing.T) {
	const longTTL = time.Hour // counted again in full, it would outlive the test
	k := estate(t)
	kept := leased("n1", "kept", "kept")
	if _, err := k.client.Register(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	long := leased("n1", "long", "long")
	long.Instance.Owner.TTL = catalog.Duration(longTTL)
	if _, err := k.client.Register(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	book := filepath.Join(k.args[dataDirArg(k)], "renewals")
	k.await("the renewals are written", func() bool {
		raw, err := os.ReadFile(book)
		return err == nil && strings.Count(string(raw), "lease/") >= 6
	})
	k.kill()
	age(t, book, 2*longTTL) // instead of two hours without the process
	k.start()
	if err := k.client.Renew(t.Context(), "n1", "kept"); err != nil {
		t.Errorf("a renewal at once: %v", err)
	}
	started := time.Now()
	k.await("what nobody renews has ended", func() bool {
		_, there := k.instance("long")
		return !there && len(k.lookup("lease"))+len(k.lookup("beat"))+len(k.lookup("away")) == 0
	})
	t.Logf("ended %v after the start", time.Since(started))
	if time.Since(started) < stillTTL { // on a slow machine it may have ended since
		if _, there := k.instance("kept"); !there {
			t.Error("what was renewed after the start has ended")
		}
	}
}

// dataDirArg returns the index of the data directory among the arguments.
func dataDirArg(k *koine) int { return slices.Index(k.args, "--data-dir") + 1 }

// age makes the book of renewals older.
func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(raw), "\n")
	var fields map[string]any
	if err := json.Unmarshal([]byte(head), &fields); err != nil {
		t.Fatal(err)
	}
	written, err := time.Parse(time.RFC3339Nano, fields["written"].(string))
	if err != nil {
		t.Fatal(err)
	}
	fields["written"] = written.Add(-by)
	first, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(append(first, '\n'), rest...), 0o600); err != nil {
		t.Fatal(err)
	}
}
