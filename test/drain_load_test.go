package test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// holdFor is how many requests a client of the load makes before it resolves the name again.
const holdFor = 50

// load is a crowd of clients. Each resolves the service through Koine, makes some requests of the address that it got,
// over one connection, and resolves again. The result is what the clients saw.
type load struct {
	k       *koine
	service string

	mu sync.Mutex
	// visits are how many times each client has begun to resolve.
	visits []int
	// answered is how many requests each address has answered.
	answered map[string]int
	failures []string
}

func newLoad(k *koine, service string, clients int) *load {
	return &load{k: k, service: service, visits: make([]int, clients), answered: make(map[string]int)}
}

// run lets the clients go until the context ends, and returns when the last of them has.
func (l *load) run(ctx context.Context) {
	var clients sync.WaitGroup
	for i := range l.visits {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.visit(i)
			}
		})
	}
	clients.Wait()
}

// visit is one turn of a client.
func (l *load) visit(client int) {
	l.mu.Lock()
	l.visits[client]++
	l.mu.Unlock()
	addresses := l.k.addresses(l.service)
	if len(addresses) == 0 {
		l.failed("%s has no address", l.service)
		return
	}
	address := addresses[rand.IntN(len(addresses))]
	connection := &http.Transport{}
	defer connection.CloseIdleConnections()
	for range holdFor {
		l.ask(&http.Client{Transport: connection, Timeout: patience}, address)
	}
}

// ask makes one request. It has no context of the test's: a request that was begun is always finished.
func (l *load) ask(client *http.Client, address string) {
	response, err := client.Get("http://" + address + "/") //nolint:noctx // see above
	if err != nil {
		l.failed("%v", err)
		return
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		l.failed("%s answers %s, %v", address, response.Status, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered[address]++
}

func (l *load) failed(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

// answers returns how many requests an address has answered, and how many all of them have.
func (l *load) answers(address string) (n, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, count := range l.answered {
		all += count
	}
	return l.answered[address], all
}

// await waits until each client has begun to resolve once more, so that none holds on to an address from before.
func (l *load) await(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	before := append([]int(nil), l.visits...)
	l.mu.Unlock()
	await(t, "every client has resolved again", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, visits := range l.visits {
			if visits <= before[i] {
				return false
			}
		}
		return true
	})
}

// command runs a command line of koine to its end.
func (k *koine) command(dockerHost string, args ...string) {
	k.t.Helper()
	path, err := binary()
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "KOINE_HTTP="+k.http, "DOCKER_HOST="+dockerHost)
	if output, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("koine %v: %v\n%s", args, err, output)
	}
}

// TestDrainUnderLoad stops an instance while clients use its service, in the way of the guide: take it out of the
// answers, wait for clients that hold on to its address, stop it. No request may fail.
func TestDrainUnderLoad(t *testing.T) {
	e := docker{startDocker(t)}
	k := newKoine(t, "--docker", e.Host()).start()
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		e.Run(service(name, "web"))
	}
	addresses := []string{"172.17.0.2", "172.17.0.3", "172.17.0.4"}
	k.awaitAddresses("web", addresses...)
	for _, address := range addresses {
		awaitFetch(t, "http://"+address+"/")
	}
	drained := addresses[0]

	l := newLoad(k, "web", 4)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx) })
	end := sync.OnceFunc(func() { cancel(); running.Wait() })
	defer end()
	await(t, "the instance is asked", func() bool { n, _ := l.answers(drained); return n > 0 })

	k.command(e.Host(), "drain", "web-1")
	l.await(t)
	last, before := l.answers(drained)
	k.command(e.Host(), "drain", "web-1", "--wait", "1s", "--stop")
	l.await(t)
	l.await(t) // a whole visit after the stop
	end()

	if e.Inspect("web-1").State.Running {
		t.Error("the drained instance still runs")
	}
	n, all := l.answers(drained)
	if n != last {
		t.Errorf("%d requests went to the drained instance after every client had resolved again", n-last)
	}
	if all == before {
		t.Error("the other instances were not asked any more")
	}
	for _, failure := range l.failures[:min(10, len(l.failures))] {
		t.Error(failure)
	}
	t.Logf("%d requests, %d of them to the drained instance; %d failed", all, n, len(l.failures))
}
