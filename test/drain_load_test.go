package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	moby "github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// load is wrk, started again and again: each run resolves the name once, through Koine, and goes on with that address for
// its second. So is a client that holds on to an address for as long.
type load struct {
	mu   sync.Mutex
	runs []run
	err  error
}

// run is what one run of wrk has reported.
type run struct {
	requests, failed int
	output           string
}

// start runs wrk until the context ends, and returns when the last run has.
func (l *load) start(ctx context.Context, url string) {
	for ctx.Err() == nil {
		r, err := wrk(url)
		l.mu.Lock()
		l.runs, l.err = append(l.runs, r), errors.Join(l.err, err)
		l.mu.Unlock()
	}
}

// done returns the runs that have ended.
func (l *load) done() ([]run, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[:len(l.runs):len(l.runs)], l.err
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	// wrkFailed are lines that wrk prints only if there is something to count.
	wrkFailed = regexp.MustCompile(`connect (\d+), read (\d+), write (\d+), timeout (\d+)|Non-2xx or 3xx responses: (\d+)`)
)

// wrk runs it once, for a second. It is not interrupted: its own end is what is to be graceful.
func wrk(url string) (run, error) {
	output, err := exec.Command("wrk", "-t", "1", "-c", "4", "-d", "1s", "--timeout", "20s", url).CombinedOutput()
	r := run{output: string(output)}
	if err != nil {
		return r, fmt.Errorf("wrk: %w\n%s", err, output)
	}
	if found := wrkRequests.FindStringSubmatch(r.output); found != nil {
		r.requests, _ = strconv.Atoi(found[1])
	}
	for _, found := range wrkFailed.FindAllStringSubmatch(r.output, -1) {
		for _, number := range found[1:] {
			n, _ := strconv.Atoi(number) // empty in the other kind of line
			r.failed += n
		}
	}
	return r, nil
}

// resolveThroughKoine has programs that are started here ask Koine for every name. The mount namespace is the tests' own.
func resolveThroughKoine(t *testing.T) {
	t.Helper()
	own := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(own, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	system, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(own, system, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s: %v", system, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(system, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// served asks a demo container at an address how many requests it has answered.
func served(t *testing.T, address string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/served", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	count, bad := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil || bad != nil {
		t.Fatalf("served by %s: %q, %v", address, body, err)
	}
	return count
}

// beside is a command line of koine that runs beside the test.
type beside struct {
	stderr syncBuffer
	ended  chan error
}

func (k *koine) beside(dockerHost string, args ...string) *beside {
	k.t.Helper()
	path, err := binary()
	if err != nil {
		k.t.Fatal(err)
	}
	o := &beside{ended: make(chan error, 1)}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "KOINE_HTTP="+k.http, "DOCKER_HOST="+dockerHost)
	cmd.Stderr = &o.stderr
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func() { o.ended <- cmd.Wait() }()
	return o
}

// logs returns what a container has written.
func (d docker) logs(name string) (text string) {
	d.Do("logs of "+name, func(ctx context.Context) error {
		logs, err := d.Client().ContainerLogs(ctx, name, moby.ContainerLogsOptions{ShowStdout: true})
		if err != nil {
			return err
		}
		defer logs.Close()
		raw, err := io.ReadAll(logs)
		text = string(raw)
		return err
	})
	return text
}

var hasServed = regexp.MustCompile(`has served (\d+)`)

// TestDrainUnderLoad stops an instance while wrk asks its service, by the way that the guide tells of: out of the answers,
// wait for those who hold on to its address, stop. No request fails.
func TestDrainUnderLoad(t *testing.T) {
	e := docker{startDocker(t)}
	if _, err := exec.LookPath("wrk"); err != nil {
		if os.Getenv("KOINE_REQUIRE_DOCKER") == "1" {
			t.Fatal(err)
		}
		t.Skipf("%v: make test installs it", err)
	}
	k := newKoine(t, "--docker", e.Host(), "--dns", "127.0.0.1:18600,127.0.0.1:53").start()
	resolveThroughKoine(t)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		e.Run(service(name, "web"))
	}
	k.awaitAddresses("web", "172.17.0.2", "172.17.0.3", "172.17.0.4")

	const drained = "172.17.0.2"

	l := new(load)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.start(ctx, "http://web.service.koine:80/") })
	end := sync.OnceFunc(func() { cancel(); running.Wait() })
	defer end()
	more := func(n int) { // runs that are begun from now on
		t.Helper()
		before, _ := l.done()
		await(t, "wrk runs on", func() bool {
			now, err := l.done()
			if err != nil {
				t.Fatal(err)
			}
			return len(now) > len(before)+n // the first of them was under way already
		})
	}
	await(t, "the instance is asked", func() bool { return served(t, drained) > 0 })

	drain := k.beside(e.Host(), "drain", "web-1", "--wait", "8s", "--stop")
	await(t, "it is out of the answers", func() bool { return strings.Contains(drain.stderr.String(), "waiting") })
	more(0)
	last := served(t, drained)
	if err := <-drain.ended; err != nil {
		t.Fatalf("drain: %v\n%s", err, drain.stderr.String())
	}
	more(2)
	end()

	if e.Inspect("web-1").State.Running {
		t.Error("the drained instance still runs")
	}
	found := hasServed.FindStringSubmatch(e.logs("web-1"))
	if found == nil || found[1] != strconv.Itoa(last) {
		t.Errorf("it had served %d when the runs from before the drain were over, and %q at its end", last, found)
	}
	runs, err := l.done()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, r := range runs {
		total += r.requests
		if r.failed > 0 || r.requests == 0 {
			t.Errorf("run %d: %d requests, %d failed\n%s", i, r.requests, r.failed, r.output)
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d requests in %d runs, %d of them to the drained instance, which got none at its end; none failed", total, len(runs), last)
}
