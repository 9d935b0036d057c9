package test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/needs"
)

func instancesOf(service string) client.InstanceFilter {
	return client.InstanceFilter{Service: service}
}

// permanent returns a registration through HTTP that only its removal ends.
func permanent(id, service string) catalog.Registration {
	return catalog.Registration{Instance: catalog.Instance{
		ID: id, Service: service, Owner: catalog.Owner{Kind: catalog.OwnerPermanent}, Ports: []catalog.Port{{Number: 80}},
	}}
}

// TestNotReadyIsNeverEmpty has a Docker engine that does not answer: until Koine knows its host, it must not guess.
func TestNotReadyIsNeverEmpty(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	silent, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	k := newKoine(t, "--docker", "unix://"+socket)
	var resp *http.Response
	var body []byte
	var reply *mdns.Msg
	var askErr error
	k.await("answers from before the grace is over", func() bool {
		if k.cmd != nil {
			k.kill()
		}
		k.launch()
		k.await("the listener is open", func() bool { resp, body, err = k.get("/api/v1/services/web"); return err == nil })
		reply, askErr = k.ask("web.service.koine.", mdns.TypeA)
		health, _ := k.client.Health(t.Context())
		return !health.Ready
	})
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("HTTP answers %s, Retry-After %q; want 503 with one", resp.Status, resp.Header.Get("Retry-After"))
	}
	if detail := errorBody(t, body); detail.Code != "not_ready" || !strings.Contains(detail.Message, "docker") {
		t.Errorf("error %+v, want it to name what is waited for", detail)
	}
	if askErr != nil || reply.Rcode != mdns.RcodeServerFailure {
		t.Errorf("DNS answers %v, %v; want SERVFAIL", reply, askErr)
	}
	// After the grace period it answers with what it knows.
	k.await("ready", func() bool { health, err := k.client.Health(t.Context()); return err == nil && health.Ready })
	if reply, err := k.ask("web.service.koine.", mdns.TypeA); err != nil || reply.Rcode != mdns.RcodeNameError {
		t.Errorf("DNS answers %v, %v; want NXDOMAIN", reply, err)
	}
}

// TestKilledInAStorm kills Koine at random moments of a storm of registrations, several times on one data directory.
func TestKilledInAStorm(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { killInStorm(t, newKoine(t, "--docker", "off")) })
	t.Run("cluster", func(t *testing.T) {
		killInStorm(t, newKoine(t, "--docker", "off", "--engine", engine.Scheme+enginetest.Etcd(t)))
	})
}

func killInStorm(t *testing.T, k *koine) {
	acknowledged := make(map[string]bool)
	for round := range 5 {
		k.start()
		checkAll(t, k, acknowledged)
		var mu sync.Mutex
		var wg sync.WaitGroup
		limit := len(acknowledged) + 50 + rand.IntN(400)
		reached := make(chan struct{})
		for writer := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("r%d-w%d-%d", round, writer, i)
					if _, err := k.client.Register(t.Context(), permanent(id, "storm")); err != nil {
						return // killed
					}
					mu.Lock()
					acknowledged[id] = true
					if len(acknowledged) == limit {
						close(reached)
					}
					mu.Unlock()
				}
			})
		}
		<-reached
		k.kill()
		wg.Wait()
	}
	k.start()
	checkAll(t, k, acknowledged)
	t.Logf("%d acknowledged registrations over 5 kills, none lost", len(acknowledged))
}

// checkAll checks that every acknowledged registration exists.
func checkAll(t *testing.T, k *koine, acknowledged map[string]bool) {
	t.Helper()
	list, err := k.client.Instances(t.Context(), instancesOf("storm"))
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool, len(list.Instances))
	for _, i := range list.Instances {
		there[i.ID] = true
	}
	for id := range acknowledged {
		if !there[id] {
			t.Errorf("registration %s was acknowledged and is lost", id)
		}
	}
}

// smallDisk mounts a disk of a size, and returns its directory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	needs.Root(t, "mount a small disk")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		needs.Missing(t, "no small disk can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills the disk under a running store.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "200m")
	k := newKoine(t, "--docker", "off", "--data-dir", dir)
	k.start()
	if _, err := k.client.Register(t.Context(), permanent("kept", "web")); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, ".filler")
	fillUp(t, filler)
	acknowledged := fillStore(t, k)
	if err := k.end(); err == nil {
		t.Error("koine ended without an error")
	}
	last := k.stderr.lastLine()
	if !strings.Contains(last, "is full") || !strings.Contains(last, "--data-dir") || !strings.Contains(last, dir) {
		t.Errorf("last line %q, want one that names the full disk and the way out", last)
	}
	if strings.Contains(k.stderr.String(), "goroutine ") {
		t.Errorf("koine panicked:\n%s", k.stderr)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	k.start()
	checkAll(t, k, acknowledged)
	if got := k.lookup("web"); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("web has %v after the disk has room again", got)
	}
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 1<<16)
	for range 1 << 14 {
		if _, err := file.Write(block); err != nil {
			return
		}
	}
	t.Fatal("the disk does not get full")
}

// fillStore registers until the store fails, and returns the acknowledged registrations.
func fillStore(t *testing.T, k *koine) map[string]bool {
	t.Helper()
	acknowledged := make(map[string]bool)
	meta := map[string]string{"a": strings.Repeat("x", 4000), "b": strings.Repeat("y", 4000)}
	for i := range 100_000 {
		r := permanent(fmt.Sprint("i", i), "storm")
		r.Instance.Meta = meta
		if _, err := k.client.Register(t.Context(), r); err != nil {
			return acknowledged
		}
		acknowledged[r.Instance.ID] = true
	}
	t.Fatal("the store does not get full")
	return nil
}

// TestSmallDisk starts on a disk that has no room for a store.
func TestSmallDisk(t *testing.T) {
	dir := smallDisk(t, "10m")
	k := newKoine(t, "--docker", "off", "--data-dir", dir)
	k.launch()
	if err := k.end(); err == nil {
		t.Error("koine ended without an error")
	}
	if last := k.stderr.lastLine(); !strings.Contains(last, "MiB of free space") || !strings.Contains(last, "--data-dir") {
		t.Errorf("last line %q, want one that names the missing room", last)
	}
}

// TestFirstAnswer has Koine start from nothing, and reports how long the first DNS answer takes.
func TestFirstAnswer(t *testing.T) {
	k := newKoine(t, "--docker", "off")
	begun := time.Now()
	k.launch()
	k.await("a DNS answer", func() bool {
		reply, err := k.ask("n1.node.koine.", mdns.TypeA)
		return err == nil && reply.Rcode == mdns.RcodeSuccess && len(reply.Answer) == 1
	})
	t.Logf("from the start of the process to its first DNS answer: %v", time.Since(begun).Round(time.Millisecond))
	if err := k.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}
