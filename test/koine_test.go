package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/build"
	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/logtail"
)

// patience bounds what the tests wait for.
const patience = eventually.Patience

// binary is Koine's, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("koine-under-test-%d", os.Getpid()))
	return path, build.Program(path, "github.com/koine-sd/koine/cmd/koine", []string{"CGO_ENABLED=0"})
})

// koine is one process of the real binary.
type koine struct {
	t      testing.TB
	args   []string
	http   string
	dns    string
	client *client.Client
	// files is how many files the process may have open; 0 means as many as the test.
	files int
	// credential is the user that the process runs as; nil means that of the test.
	credential *syscall.Credential

	cmd    *exec.Cmd
	stderr *syncBuffer
	exited chan error
}

// newKoine describes a process that is not started. Its data directory is kept over restarts.
func newKoine(t testing.TB, args ...string) *koine {
	t.Helper()
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	k := &koine{t: t, http: "127.0.0.1:18500", dns: "127.0.0.1:18600"}
	k.args = append([]string{
		"dev", "--node", "n1", "--http", k.http, "--dns", k.dns, "--upstream", "off", "--data-dir", t.TempDir(),
	}, args...)
	var err error
	if k.client, err = client.New(client.Config{Address: k.http, HTTPClient: &http.Client{Timeout: patience}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if k.cmd != nil {
			k.kill()
		}
		if t.Failed() && k.stderr != nil {
			t.Logf("koine said:\n%s", logtail.Of(t.Name()+"-koine", k.stderr.String()))
		}
	})
	return k
}

// in returns the same process for the use of a subtest.
func (k *koine) in(t *testing.T) *koine {
	sub := *k
	sub.t = t
	return &sub
}

// launch starts the process and returns at once.
func (k *koine) launch() {
	k.t.Helper()
	path, err := binary()
	if err != nil {
		k.t.Fatal(err)
	}
	k.cmd = exec.Command(path, k.args...)
	if k.files > 0 {
		limited := []string{"-c", `ulimit -n "$1" && shift && exec "$@"`, "sh", strconv.Itoa(k.files), path}
		k.cmd = exec.Command("sh", append(limited, k.args...)...)
	}
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: k.credential}
	k.stderr = &syncBuffer{}
	k.cmd.Stdout, k.cmd.Stderr = k.stderr, k.stderr
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	exited := make(chan error, 1)
	k.exited = exited
	go func(cmd *exec.Cmd) { exited <- cmd.Wait() }(k.cmd)
}

// start starts the process and waits until it is ready.
func (k *koine) start() *koine {
	k.t.Helper()
	k.launch()
	k.await("ready", func() bool {
		health, err := k.client.Health(k.t.Context())
		return err == nil && health.Ready
	})
	return k
}

// kill ends the process as a crash would.
func (k *koine) kill() {
	k.t.Helper()
	if err := k.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		k.t.Error(err)
	}
	<-k.exited
	k.cmd = nil
}

// stop tells the process to stop and waits for its end.
func (k *koine) stop() error {
	k.t.Helper()
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Fatal(err)
	}
	defer func() { k.cmd = nil }()
	return k.end()
}

// end waits for the end of the process.
func (k *koine) end() error {
	k.t.Helper()
	err := eventually.Receive(k.t, "koine has ended", k.exited)
	k.exited <- err // for kill, which may come after
	return err
}

// await waits until a condition holds.
func (k *koine) await(what string, holds func() bool) {
	k.t.Helper()
	await(k.t, what, holds)
}

func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	eventually.True(t, what, holds)
}

// ask asks the name server over UDP, and over TCP if the answer is cut.
func (k *koine) ask(name string, qtype uint16) (*mdns.Msg, error) {
	m := new(mdns.Msg).SetQuestion(name, qtype)
	reply, err := exchange(m, k.dns, "udp")
	if err == nil && reply.Truncated {
		reply, err = exchange(m, k.dns, "tcp")
	}
	return reply, err
}

// resendAfter is when a query is sent again, as resolvers do: a server that was killed has lost it.
const resendAfter = 2 * time.Second

// exchange sends a query until something answers, or refuses the connection.
func exchange(m *mdns.Msg, server, network string) (reply *mdns.Msg, err error) {
	c := &mdns.Client{Net: network, Timeout: resendAfter}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		reply, _, err = c.Exchange(m, server)
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			return reply, err
		}
	}
	return reply, err
}

// addresses returns what DNS says of a service, sorted; nil if there is no answer at all.
func (k *koine) addresses(service string) []string {
	reply, err := k.ask(service+".service.koine.", mdns.TypeA)
	if err != nil || reply.Rcode == mdns.RcodeServerFailure {
		return nil
	}
	list := []string{}
	for _, rr := range reply.Answer {
		if a, ok := rr.(*mdns.A); ok {
			list = append(list, a.A.String())
		}
	}
	slices.Sort(list)
	return list
}

// awaitAddresses waits until DNS answers with just these addresses for a service, and checks that HTTP does as well.
func (k *koine) awaitAddresses(service string, want ...string) {
	k.t.Helper()
	var got []string
	defer func() {
		if k.t.Failed() {
			k.t.Logf("last answer for %s: %v, wanted %v", service, got, want)
		}
	}()
	k.await(fmt.Sprintf("DNS answers %v for %s", want, service), func() bool {
		got = k.addresses(service)
		return got != nil && slices.Equal(got, want)
	})
	if over := k.lookup(service); !slices.Equal(over, want) && len(over)+len(want) > 0 {
		k.t.Errorf("HTTP answers %v for %s, DNS %v", over, service, want)
	}
}

// lookup returns what HTTP says of a service.
func (k *koine) lookup(service string) (list []string) {
	k.t.Helper()
	found, err := k.client.Lookup(k.t.Context(), catalog.Query{Service: service})
	if err != nil && catalog.KindOf(err) != catalog.KindNotFound {
		k.t.Errorf("lookup %s: %v", service, err)
	}
	for _, i := range found.Instances {
		list = append(list, i.Address)
	}
	slices.Sort(list)
	return list
}

// instance returns one instance, whatever its health; false if it is not there.
func (k *koine) instance(id string) (client.Instance, bool) {
	i, err := k.client.Instance(k.t.Context(), "n1", id)
	return i, err == nil
}

// get makes a plain HTTP request.
func (k *koine) get(path string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+k.http+path, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return resp, body.Bytes(), err
}

// syncBuffer is a buffer that a process writes while a test reads it.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// lastLine returns the last line that is no log record.
func (b *syncBuffer) lastLine() string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return lines[len(lines)-1]
}

// errorBody decodes the error of the native API.
func errorBody(t *testing.T, body []byte) client.ErrorDetail {
	t.Helper()
	var e client.ErrorBody
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	return e.Error
}

// startDocker starts an engine with the demo image.
func startDocker(t testing.TB, args ...string) *dockertest.Engine {
	t.Helper()
	e := dockertest.Start(t, dockertest.Config{Args: args})
	e.Demo()
	return e
}
