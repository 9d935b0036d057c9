// Package podman tests the whole binary with a real Podman.
package podman

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

func TestMain(m *testing.M) { dockertest.MainHostPIDs(m) }

const api = "http://127.0.0.1:8500/api/v1"

// koine is a running binary, on its usual ports: the tests have a network namespace of their own.
type koine struct {
	t       *testing.T
	process *exec.Cmd
	log     string
}

// start starts a command, the binary, with Podman as its engine, and ends it with the test.
func start(t *testing.T, p *dockertest.Podman, command ...string) *koine {
	t.Helper()
	k := &koine{t: t, log: filepath.Join(t.TempDir(), "log")}
	file, err := os.Create(k.log)
	if err != nil {
		t.Fatal(err)
	}
	command = append(command, "dev", "--data-dir", t.TempDir(), "--docker", p.Host(), "--advertise", "127.0.0.1")
	k.process = exec.Command(command[0], command[1:]...)
	k.process.Stdout, k.process.Stderr = file, file
	if err := k.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = k.process.Process.Signal(syscall.SIGTERM)
		_ = k.process.Wait()
		_ = file.Close()
		if t.Failed() {
			t.Logf("the log:\n%s", k.logged())
		}
	})
	eventually.True(t, "Koine is ready", func() bool {
		_, ok := get(t.Context(), api+"/services")
		return ok
	})
	return k
}

func (k *koine) logged() string {
	text, err := os.ReadFile(k.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func get(ctx context.Context, url string) (string, bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err == nil && response.StatusCode == http.StatusOK
}

// instance is the part of an answer that the tests look at.
type instance struct {
	ID        string `json:"id"`
	Address   string `json:"address"`
	Addresses []struct {
		Network string `json:"network"`
		IP      string `json:"ip"`
	} `json:"addresses"`
	Ports []struct {
		Number    int `json:"number"`
		Published int `json:"published"`
	} `json:"ports"`
}

// on returns the networks of an instance.
func (i instance) on() (names []string) {
	for _, a := range i.Addresses {
		names = append(names, a.Network)
	}
	return names
}

// answer returns the instances in the answer about a service, by ID.
func answer(ctx context.Context, service string) map[string]instance {
	body, ok := get(ctx, api+"/services/"+service)
	var list struct {
		Instances []instance `json:"instances"`
	}
	if !ok || json.Unmarshal([]byte(body), &list) != nil {
		return nil
	}
	found := make(map[string]instance)
	for _, i := range list.Instances {
		found[i.ID] = i
	}
	return found
}

// await waits until the answer about the instance of a name's service meets a condition, and returns how long that took.
func (k *koine) await(name, what string, holds func(i instance, there bool) bool) time.Duration {
	k.t.Helper()
	began := time.Now()
	eventually.True(k.t, name+" "+what, func() bool {
		i, there := answer(k.t.Context(), name)[name]
		return holds(i, there)
	})
	took := time.Since(began)
	k.t.Logf("%s %s after %v", name, what, took.Round(time.Millisecond))
	return took
}

func there(_ instance, there bool) bool { return there }
func gone(_ instance, there bool) bool  { return !there }

func named(service string, more ...string) []string {
	return append([]string{"--label", "koine.name=" + service}, more...)
}

// TestPodman follows real containers through the real binary: once with stop signals from the kernel, once without.
func TestPodman(t *testing.T) {
	p := dockertest.StartPodman(t)
	binary := dockertest.Build(t, "github.com/koine-sd/koine/cmd/koine")
	p.Do("network", "create", "back")
	for _, way := range []string{"kernel", "list"} {
		t.Run(way, func(t *testing.T) {
			command := []string{binary}
			if way == "list" { // without the rights to load a program into the kernel
				command = []string{needs.Tool(t, "setpriv"), "--bounding-set", "-sys_admin,-bpf,-perfmon", binary}
			}
			k := start(t, p, command...)
			for _, scenario := range []struct {
				name string
				test func(*koine, *dockertest.Podman)
			}{
				{"stop", stop}, {"signal", signal}, {"networks", networks}, {"health", health}, {"pod", pod},
			} {
				t.Run(scenario.name, func(t *testing.T) {
					scenario.test(&koine{t: t, process: k.process, log: k.log}, p)
				})
			}
			if log := k.logged(); strings.Contains(log, "containers are read from the kernel") != (way == "kernel") {
				t.Errorf("the log does not say how stop signals are seen:\n%s", log)
			}
		})
	}
}

// stop stops a container that goes on serving after SIGTERM: it leaves the answers long before it dies.
func stop(k *koine, p *dockertest.Podman) {
	p.Run("web", named("web", "-p", "8081:80"), "-grace", "1h")
	k.await("web", "is registered", func(i instance, there bool) bool {
		return there && slices.Contains(i.on(), "podman") && len(i.Ports) == 1 && i.Ports[0].Published == 8081
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Do("stop", "-t", "6", "web")
	}()
	k.await("web", "leaves the answers of podman stop", gone)
	select {
	case <-done:
		k.t.Error("the container left only when it had died")
	default:
	}
	<-done
	p.Do("rm", "-f", "web")
}

// signal sends a stop signal to a container's process itself: the time until the container has left the answers is Koine's alone.
func signal(k *koine, p *dockertest.Podman) {
	if !strings.Contains(k.logged(), "containers are read from the kernel") {
		return // Podman knows nothing of it
	}
	p.Run("sig", named("sig"), "-grace", "1h")
	defer p.Do("rm", "-f", "-t", "0", "sig")
	k.await("sig", "is registered", there)
	pid, err := strconv.Atoi(p.Do("inspect", "-f", "{{.State.Pid}}", "sig"))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGTERM)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.await("sig", "leaves the answers after SIGTERM", gone)
}

// networks connects a container to a second network and disconnects it.
func networks(k *koine, p *dockertest.Podman) {
	p.Run("net", named("net", "--network", "back"))
	p.Do("network", "create", "front")
	defer p.Do("network", "rm", "-f", "front")
	defer p.Do("rm", "-f", "-t", "0", "net")
	k.await("net", "is registered", there)
	p.Do("network", "connect", "front", "net")
	k.await("net", "is on front after connect", func(i instance, _ bool) bool { return slices.Contains(i.on(), "front") })
	p.Do("network", "disconnect", "front", "net")
	k.await("net", "is off front after disconnect", func(i instance, there bool) bool {
		return there && !slices.Contains(i.on(), "front")
	})
}

// health runs a container's health check by hand, as a systemd timer would.
func health(k *koine, p *dockertest.Podman) {
	p.Run("sick", named("sick", "--health-cmd", `["/program", "-healthcheck"]`, "--health-interval", "1h", "--health-retries", "1"))
	defer p.Do("rm", "-f", "-t", "0", "sick")
	eventually.True(k.t, "explain says that the check does not run", func() bool {
		text, _ := get(k.t.Context(), api+"/explain?name=sick")
		return strings.Contains(text, "systemd")
	})
	if _, there := answer(k.t.Context(), "sick")["sick"]; there {
		k.t.Error("a container whose health is unknown takes traffic")
	}
	p.Do("healthcheck", "run", "sick")
	k.await("sick", "is healthy", there)
}

// pod has two containers on the network of a pod.
func pod(k *koine, p *dockertest.Podman) {
	p.Do("pod", "create", "--name", "pod", "--infra-image", dockertest.PodmanImage, "--infra-command", "/program", "-p", "8085:80")
	defer p.Do("pod", "rm", "-f", "-t", "0", "pod")
	p.Run("member", named("member", "--pod", "pod"), "-ports", "8000") // the infra container has port 80
	k.await("member", "is registered", func(i instance, there bool) bool {
		return there && slices.Contains(i.on(), "podman") && len(i.Ports) == 1 && i.Ports[0].Published == 8085
	})
	body, _ := get(k.t.Context(), api+"/instances")
	if strings.Contains(body, "-infra") {
		k.t.Errorf("the infra container is registered: %s", body)
	}
}
