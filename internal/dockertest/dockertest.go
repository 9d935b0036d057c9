// Package dockertest runs tests against a real Docker engine of their own.
//
// A package whose tests need an engine gives its TestMain to Main, which runs them as root in network, mount and
// process namespaces of their own: two engines on one machine would quarrel about docker0 and iptables, and in an empty
// namespace the first container's address is always 172.17.0.2. When the tests end, however they end, the kernel ends
// all processes that were started in the namespaces.
//
// Without dockerd or root, Start skips the test, or fails it if KOINE_REQUIRE_ALL=1.
package dockertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

// pollInterval is the pause between two checks whether an engine answers, or is gone.
const pollInterval = 20 * time.Millisecond

// Config is a test's choices for its engine.
type Config struct {
	// Args are further arguments of dockerd.
	Args []string
}

// Engine is one private dockerd with its own socket, data, containerd and cgroup.
type Engine struct {
	t      testing.TB
	args   []string
	dir    string
	cgroup string
	client *client.Client

	process *exec.Cmd
	log     *os.File
	exited  chan error
}

// Start starts an engine and waits until it answers. It ends with the test, with all of its containers.
func Start(t testing.TB, cfg Config) *Engine {
	t.Helper()
	require(t)
	dir, err := os.MkdirTemp(os.Getenv(envDir), "engine") //nolint:usetesting // it must hold until all mounts below are gone
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{t: t, args: cfg.Args, dir: dir, cgroup: "koine-test-" + filepath.Base(filepath.Dir(dir)) + "-" + filepath.Base(dir)}
	e.client, err = client.New(client.WithHost(e.Host()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.destroy)
	e.Start()
	return e
}

// require skips or fails the test if an engine cannot be started here.
func require(t testing.TB) {
	t.Helper()
	if reason := Missing(); reason != "" {
		needs.Missing(t, "no Docker engine can be started: %s", reason)
	}
}

// Missing returns the reason why an engine cannot be started here, or "".
func Missing() string {
	if os.Geteuid() != 0 {
		return "dockerd wants root"
	}
	for _, program := range []string{"dockerd", "containerd", "runc", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed (Debian: apt-get install docker.io iptables)"
		}
	}
	if os.Getenv(envStage) != stageInside {
		return cmpReason(os.Getenv(envReason))
	}
	return ""
}

func cmpReason(reason string) string {
	if reason != "" {
		return reason
	}
	return "the tests do not run in a namespace of their own: TestMain has to call dockertest.Main"
}

// Socket returns the path of the engine's socket.
func (e *Engine) Socket() string { return filepath.Join(e.dir, "docker.sock") }

// Host returns the engine's address in the form of DOCKER_HOST.
func (e *Engine) Host() string { return "unix://" + e.Socket() }

// Client returns a client of the engine. It stays valid across restarts.
func (e *Engine) Client() *client.Client { return e.client }

// Start starts dockerd again after Stop or Kill9 and waits until it answers.
func (e *Engine) Start() {
	e.t.Helper()
	if err := e.launch(); err != nil {
		e.t.Fatal(err)
	}
	deadline := time.Now().Add(eventually.Patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err := e.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("dockerd does not answer: %v\n%s", err, e.logTail())
		}
		select {
		case err := <-e.exited:
			e.exited <- err
			e.t.Fatalf("dockerd ended at its start: %v\n%s", err, e.logTail())
		case <-time.After(pollInterval):
		}
	}
}

func (e *Engine) launch() error {
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	args := append([]string{
		"--host", e.Host(),
		"--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"),
		"--config-file", filepath.Join(e.dir, "daemon.json"),
		"--exec-opt", "native.cgroupdriver=cgroupfs",
		"--cgroup-parent", "/" + e.cgroup,
	}, e.args...)
	if err := os.WriteFile(filepath.Join(e.dir, "daemon.json"), []byte("{}"), 0o600); err != nil {
		return err
	}
	e.process = exec.Command("dockerd", args...)
	e.process.Stdout, e.process.Stderr, e.log = log, log, log
	e.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.process.Start(); err != nil {
		return errors.Join(fmt.Errorf("start dockerd: %w", err), log.Close())
	}
	e.exited = make(chan error, 1)
	go func(process *exec.Cmd, exited chan<- error) { exited <- process.Wait() }(e.process, e.exited)
	return nil
}

// Stop asks dockerd to end, as systemd would, and waits for it. Its containers are stopped unless the engine was
// started with --live-restore.
func (e *Engine) Stop() {
	e.t.Helper()
	if err := e.end(syscall.SIGTERM); err != nil {
		e.t.Fatal(err)
	}
}

// Kill9 kills dockerd; its containers go on running.
func (e *Engine) Kill9() {
	e.t.Helper()
	if err := e.end(syscall.SIGKILL); err != nil {
		e.t.Fatal(err)
	}
}

// Restart is Stop and Start.
func (e *Engine) Restart() {
	e.t.Helper()
	e.Stop()
	e.Start()
}

// end signals dockerd and waits for its end; a dockerd that does not end is killed.
func (e *Engine) end(signal syscall.Signal) error {
	if e.process == nil {
		return nil
	}
	defer func() {
		e.process = nil
		e.log.Close()
	}()
	if err := e.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal dockerd: %w", err)
	}
	select {
	case <-e.exited: //nolint:errcheck // its exit status says nothing here
		return nil
	case <-time.After(eventually.Patience):
	}
	if err := e.process.Process.Kill(); err != nil {
		return fmt.Errorf("kill dockerd: %w", err)
	}
	<-e.exited //nolint:errcheck // it was killed
	return fmt.Errorf("dockerd did not end within %v of %v", eventually.Patience, signal)
}

// logTail returns the end of dockerd's log.
func (e *Engine) logTail() []byte {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	lines := slices.DeleteFunc(bytes.Split(text, []byte("\n")), func(line []byte) bool {
		return bytes.Contains(line, []byte("module=grpc"))
	})
	return bytes.Join(lines[max(0, len(lines)-30):], []byte("\n"))
}
