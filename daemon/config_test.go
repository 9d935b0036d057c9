package daemon

import (
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/koine-sd/koine/catalog"
)

func TestDockerAddress(t *testing.T) {
	for address, fine := range map[string]bool{
		"unix:///var/run/docker.sock": true, "/run/docker.sock": true, "tcp://10.0.0.1:2376": true,
		"tcp://[::1]:2375": true, "https://engine:2376": true, Off: true,
		"unix://": false, "unix://run/docker.sock": false, "tcp://engine": false, "tcp://:2375": false,
		"ssh://me@engine": false, "engine:2375": false, "docker.sock": false, "%": false,
	} {
		t.Setenv("DOCKER_HOST", "")
		_, err := Config{Node: "n1", Docker: address}.withDefaults()
		if (err == nil) != fine || err != nil && !strings.HasPrefix(err.Error(), "--docker ") {
			t.Errorf("--docker %s: %v", address, err)
		}
		if address == Off {
			continue
		}
		t.Setenv("DOCKER_HOST", address)
		_, err = Config{Node: "n1"}.withDefaults()
		if (err == nil) != fine || err != nil && !strings.HasPrefix(err.Error(), "DOCKER_HOST ") {
			t.Errorf("DOCKER_HOST=%s: %v", address, err)
		}
		if err != nil && (catalog.KindOf(err) != catalog.KindInvalid || !strings.Contains(err.Error(), "--docker")) {
			t.Errorf("DOCKER_HOST=%s: %v does not name the flag", address, err)
		}
	}
}

func TestContainerSettings(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""},
		{Config{DockerExpose: ExposeAll, ComposeNames: NamesService, Registrator: true}, ""},
		{Config{DockerExpose: ExposeLabelled, ComposeNames: NamesProject}, ""},
		{Config{DockerExpose: "labeled"}, `--docker-expose "labeled" is not all or labelled`},
		{Config{ComposeNames: "both"}, `--compose-names "both" is not service or project`},
		{Config{ComposeNames: NamesProject, Registrator: true}, "--compose-names project has no effect with --registrator"},
	} {
		test.cfg.Node, test.cfg.Docker = "n1", Off
		_, err := test.cfg.withDefaults()
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.cfg, err, test.want)
		}
	}
	source := Config{Node: "n1", DockerExpose: ExposeLabelled, ComposeNames: NamesProject, Registrator: true, Logger: slog.Default()}.docker("")
	if !source.Labelled || !source.ProjectNames || !source.Registrator {
		t.Errorf("the source is given %+v", source)
	}
}

// TestListenErrors holds what a listener that cannot be bound tells its user to do.
func TestListenErrors(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EADDRINUSE: "address already in use: choose another address with --dns, or turn DNS off with --dns off",
		syscall.EACCES:     "permission denied: ports below 1024 need root, or the capability for them: sudo setcap cap_net_bind_service=+ep " + executable(),
	} {
		err := listenError("DNS", "--dns", "127.0.0.1:53", &net.OpError{Err: os.NewSyscallError("bind", errno)})
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
