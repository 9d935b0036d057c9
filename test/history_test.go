package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/engine/enginetest"
)

// registered is a permanent instance at an address.
func registered(service, id, address string) catalog.Registration {
	return catalog.Registration{Instance: catalog.Instance{
		ID: id, Service: service, Addresses: []catalog.Address{{IP: netip.MustParseAddr(address)}}, Ports: []catalog.Port{{Number: 80}},
		Owner: catalog.Owner{Kind: catalog.OwnerPermanent},
	}}
}

// TestReadersNoticeAnotherHistory restarts Koine on a store with another history, in which the numbers of the first come again: one that
// begins from nothing, a copy that is put back, and another etcd. No reader takes its old knowledge for the present.
func TestReadersNoticeAnotherHistory(t *testing.T) {
	t.Run("a temporary store", func(t *testing.T) {
		k := newKoine(t, "--docker", "off")
		i := slices.Index(k.args, "--data-dir")
		k.args = slices.Delete(k.args, i, i+2)
		noticeAnotherHistory(t, k, func() {}, func() {})
	})
	t.Run("a data directory that is put back", func(t *testing.T) {
		k := newKoine(t, "--docker", "off")
		dir, kept := k.args[slices.Index(k.args, "--data-dir")+1], t.TempDir()+"/kept"
		noticeAnotherHistory(t, k, func() {
			if err := k.stop(); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			k.start()
		}, func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(kept, dir); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("another etcd", func(t *testing.T) {
		k := newKoine(t, "--docker", "off", "--engine", engine.Scheme+enginetest.Etcd(t))
		noticeAnotherHistory(t, k, func() {}, func() { k.args[len(k.args)-1] = engine.Scheme + enginetest.Etcd(t) })
	})
}

// noticeAnotherHistory has readers of all kinds look at web while Koine is stopped and its store changed. keep is called before web
// changes for the last time.
func noticeAnotherHistory(t *testing.T, k *koine, keep, change func()) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k.start()
	put := func(service, id, address string) (revision uint64) {
		t.Helper()
		var answer client.Written
		var err error
		k.await("registered "+id, func() bool {
			answer.Revision, err = k.client.Register(ctx, registered(service, id, address))
			return err == nil
		})
		return answer.Revision
	}
	put("web", "web", "10.1.0.0")
	keep()
	for n := range 30 {
		put("filler", fmt.Sprint("filler", n), "10.9.0.1")
	}
	put("web", "web", "10.1.0.1")
	before, err := k.client.Lookup(ctx, catalog.Query{Service: "web"})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := k.client.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}

	// The readers that stay.
	shown := make(map[string]*atomic.Value)
	follow := func(name string, options client.WatchOptions) {
		last := new(atomic.Value)
		shown[name] = last
		go func() {
			for e, err := range k.client.Watch(ctx, options) {
				if err == nil && e.Service == "web" && len(e.Instances) == 1 {
					last.Store(e.Instances[0].Address)
				}
			}
		}()
	}
	follow("a watch of one", client.WatchOptions{Services: []string{"web"}})
	follow("a watch of all", client.WatchOptions{})
	shown["koine watch"] = koineWatch(t, k)
	for name, last := range shown {
		k.await(name+" shows the first state", func() bool { return last.Load() == "10.1.0.1" })
	}

	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	change()
	k.start()
	for n, revision := 0, uint64(0); revision < before.Index.Revision-1; n++ {
		revision = put("filler", fmt.Sprint("again", n), "10.9.0.2")
	}
	put("web", "web", "10.1.0.2")

	after, err := k.client.LookupAfter(ctx, catalog.Query{Service: "web"}, before.Index, 10*time.Minute)
	if err != nil || len(after.Instances) != 1 || after.Instances[0].Address != "10.1.0.2" {
		t.Errorf("a blocking read: %+v, %v", after, err)
	}
	t.Logf("web was at index %v, and is at %v", before.Index, after.Index)
	// Where the number is the same by chance, only the history tells them apart.
	for path, index := range map[string]catalog.Position{
		"/services/web": {Revision: after.Index.Revision, Mark: before.Index.Mark},
		"/nodes":        {Revision: nodesIndex(t, k), Mark: nodes.Index.Mark},
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/api/v1%s?wait=10m&index=%v", k.http, path, index), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("%s at %v: %v", path, index, err)
		}
		response.Body.Close()
	}
	list, err := k.client.Events(ctx, client.EventOptions{After: before.Index})
	if err != nil || len(list) == 0 || list[0].Type != catalog.EventGap {
		t.Errorf("events after %v: %v, %v; want a gap first", before.Index, list, err)
	}
	for e, err := range k.client.Watch(ctx, client.WatchOptions{Services: []string{"web"}, After: before.Index}) {
		if err != nil || !e.Reset {
			t.Errorf("a watch that is resumed at %v begins with %+v, %v; want a reset", before.Index, e, err)
		}
		break
	}
	for name, last := range shown {
		k.await(name+" shows the new state", func() bool { return last.Load() == "10.1.0.2" })
	}
}

func nodesIndex(t *testing.T, k *koine) uint64 {
	t.Helper()
	nodes, err := k.client.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return nodes.Index.Revision
}

// koineWatch runs the command, and keeps the address that it printed last.
func koineWatch(t *testing.T, k *koine) *atomic.Value {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "watch", "web", "--http", k.http)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, output)
		_ = cmd.Wait()
	})
	last := new(atomic.Value)
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if address, _, ok := strings.Cut(lines.Text(), ":"); ok && !strings.HasPrefix(address, "#") {
				last.Store(address)
			}
		}
	}()
	return last
}
