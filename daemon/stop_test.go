package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/eventually"
)

// running is a daemon that the test itself stops.
type running struct {
	*Daemon
	stop func() error
}

func startDaemon(t *testing.T, cfg Config) running {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	if err := d.View().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return running{d, stop}
}

func (r running) url() string { return "http://" + r.HTTPAddr().String() + "/api/v1" }

// writer registers one instance after the other until it is not acknowledged any more.
type writer struct {
	acknowledged []string
	problems     []string
}

func (w *writer) run(url, name string, count *atomic.Int64) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		body := strings.NewReader(fmt.Sprintf(`{"service":"%s","permanent":true}`, name))
		request, err := http.NewRequest("PUT", url+"/instances/"+id, body)
		if err != nil {
			w.problems = append(w.problems, err.Error())
			return
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			return // the connection was closed: that acknowledges nothing
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return
		}
		if response.StatusCode != http.StatusOK {
			if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(answer), `"error"`) {
				w.problems = append(w.problems, fmt.Sprintf("%s %q", response.Status, answer))
			}
			return
		}
		var written client.Written
		if err := json.Unmarshal(answer, &written); err != nil || written.Revision == 0 {
			w.problems = append(w.problems, fmt.Sprintf("%s %q", response.Status, answer))
		}
		w.acknowledged = append(w.acknowledged, id)
		count.Add(1)
	}
}

// TestStopKeepsWhatItAcknowledges stops under load, starts again, and looks for everything that was acknowledged.
func TestStopKeepsWhatItAcknowledges(t *testing.T) {
	cfg := Config{Node: "here", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, DataDir: t.TempDir()}
	for round := range 4 {
		d := startDaemon(t, cfg)
		writers := make([]writer, 48)
		var all sync.WaitGroup
		var count atomic.Int64
		for i := range writers {
			all.Go(func() { writers[i].run(d.url(), fmt.Sprintf("r%d-w%d", round, i), &count) })
		}
		enough := int64(len(writers)) * 5
		for count.Load() < enough {
			if _, err := d.View().WaitList(t.Context(), d.View().Revision, d.View().Revision()); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		all.Wait()

		again := startDaemon(t, cfg)
		for i := range writers {
			for _, problem := range writers[i].problems {
				t.Errorf("round %d: answered %s", round, problem)
			}
			for _, id := range writers[i].acknowledged {
				if again.View().Instance("here", id) == nil {
					t.Errorf("round %d: %s was acknowledged and is not there", round, id)
				}
			}
		}
		if err := again.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStopAnswersWaitingClients stops while a read blocks, a watch is open and a connection is idle.
func TestStopAnswersWaitingClients(t *testing.T) {
	d := startDaemon(t, Config{Node: "here", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off})
	silent, err := net.Dial("tcp", d.HTTPAddr().String()) // never asks anything
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	type answer struct {
		status int
		body   string
		err    error
	}
	ask := func(path string) chan answer {
		got := make(chan answer, 1)
		go func() {
			response, err := http.Get(d.url() + path)
			if err != nil {
				got <- answer{err: err}
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			got <- answer{response.StatusCode, string(body), err}
		}()
		return got
	}
	blocked := ask(fmt.Sprintf("/services?index=%d&wait=10m", d.View().ListIndex()))
	watch := ask("/watch")
	eventually.True(t, "two requests wait", func() bool { return watchers(t, d) == 2 })
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if got := <-blocked; got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "this server is stopping") {
		t.Errorf("blocked read: %+v", got)
	}
	if got := <-watch; got.err == nil || !strings.Contains(got.body, "this server is stopping") {
		t.Errorf("watch: %+v; want a last line that says why, and no end of the answer", got)
	}
}

// watchers returns the number of requests that wait for changes.
func watchers(t *testing.T, d running) (n float64) {
	t.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "koine_api_watchers" {
			for _, m := range family.GetMetric() {
				n += m.GetGauge().GetValue()
			}
		}
	}
	return n
}
