package dockertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/koine-sd/koine/internal/eventually"
	"github.com/koine-sd/koine/internal/needs"
)

// Podman is a private Podman with its own images, containers and networks, and a socket that speaks Docker's API.
type Podman struct {
	t       testing.TB
	dir     string
	service *exec.Cmd
	exited  chan error
}

// PodmanImage is the name under which Podman has the demo service.
const PodmanImage = "docker.io/koine/demo:latest"

// podmanConfig takes away Debian's limits on processes, which a test may not be allowed to raise.
const podmanConfig = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"

// StartPodman starts Podman's service, with the demo service as an image, and waits until it answers. It ends with the test, with all
// of its containers. The package's TestMain has to call Main or MainHostPIDs.
func StartPodman(t testing.TB) *Podman {
	t.Helper()
	if reason := missingPodman(); reason != "" {
		needs.Missing(t, "no Podman can be started: %s", reason)
	}
	for _, dir := range []string{"/run", "/dev/shm"} { // Podman keeps locks and namespaces there, whatever its settings
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Fatalf("mount %s: %v", dir, err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	}
	dir, err := os.MkdirTemp(os.Getenv(envDir), "podman") //nolint:usetesting // it must hold until all mounts below are gone
	if err != nil {
		t.Fatal(err)
	}
	p := &Podman{t: t, dir: dir, exited: make(chan error, 1)}
	t.Cleanup(p.destroy)
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "networks"), 0o700),
		os.WriteFile(filepath.Join(dir, "containers.conf"), []byte(podmanConfig), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball(Build(t, "github.com/koine-sd/koine/test/demo"))
	if err != nil {
		t.Fatal(err)
	}
	load := p.command(context.Background(), "import", "-c", "EXPOSE 80/tcp", "-c", `ENTRYPOINT ["/program"]`, "-", PodmanImage)
	load.Stdin = layer
	if output, err := load.CombinedOutput(); err != nil {
		t.Fatalf("podman import: %v\n%s", err, output)
	}
	p.service = p.command(context.Background(), "system", "service", "--time", "0", p.Host())
	if err := p.service.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.service.Wait() }()
	eventually.True(t, "Podman's socket is there", func() bool {
		_, err := os.Stat(p.socket())
		return err == nil
	})
	return p
}

// missingPodman returns the reason why Podman cannot be started here, or "".
func missingPodman() string {
	if os.Geteuid() != 0 {
		return "it wants root here"
	}
	for _, program := range []string{"podman", "conmon", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed (Debian: apt-get install podman netavark runc)"
		}
	}
	if os.Getenv(envStage) != stageInside {
		return cmpReason(os.Getenv(envReason))
	}
	return ""
}

func (p *Podman) socket() string { return filepath.Join(p.dir, "podman.sock") }

// Host returns Podman's address in the form of DOCKER_HOST.
func (p *Podman) Host() string { return "unix://" + p.socket() }

// command returns a command of Podman's.
func (p *Podman) command(ctx context.Context, args ...string) *exec.Cmd {
	all := []string{
		"--root", filepath.Join(p.dir, "root"), "--runroot", filepath.Join(p.dir, "run"), "--tmpdir", filepath.Join(p.dir, "tmp"),
		"--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		"--network-config-dir", filepath.Join(p.dir, "networks"),
	}
	command := exec.CommandContext(ctx, "podman", append(all, args...)...)
	command.Env = append(os.Environ(), "CONTAINERS_CONF="+filepath.Join(p.dir, "containers.conf"))
	return command
}

// Do runs a command of Podman's and returns its output. It fails the test if the command fails.
func (p *Podman) Do(args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	output, err := p.command(ctx, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		p.t.Fatalf("podman %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(output))
}

// Run starts a container of the demo service and returns its id; options stand before the image, args after it.
func (p *Podman) Run(name string, options []string, args ...string) string {
	p.t.Helper()
	all := append([]string{"run", "-d", "--pull", "never", "--name", name}, options...)
	return p.Do(append(append(all, PodmanImage), args...)...)
}

// destroy ends all containers and the service, and removes everything that they left.
func (p *Podman) destroy() {
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	for _, args := range [][]string{{"pod", "rm", "-f", "-a", "-t", "0"}, {"rm", "-f", "-a", "-t", "0"}} {
		if output, err := p.command(ctx, args...).CombinedOutput(); err != nil {
			p.t.Logf("podman %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
	if p.service != nil && p.service.Process != nil {
		_ = p.service.Process.Signal(syscall.SIGTERM)
		<-p.exited //nolint:errcheck // its exit status says nothing here
	}
	for _, pid := range processesOf(p.dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	unmountBelow(p.dir)
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Logf("remove Podman's directory: %v", err)
	}
}
