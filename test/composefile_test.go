package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/needs"
)

// TestComposeFile runs Koine itself by dist/compose.yaml. It finds containers, keeps what was registered for good when it is
// created again, and ends in order.
func TestComposeFile(t *testing.T) {
	e := docker{startDocker(t)}
	compose := needs.Tool(t, "docker-compose")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	e.Import("koine:latest", path, `ENTRYPOINT ["/program"]`)
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(compose, append([]string{"-f", "dist/compose.yaml", "-p", "koine"}, args...)...)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host(), "DOCKER_SOCKET_DIR="+filepath.Dir(e.Socket()))
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker-compose %v: %v\n%s", args, err, output)
		}
	}
	c, err := client.New(client.Config{Address: "127.0.0.1:8500"})
	if err != nil {
		t.Fatal(err)
	}
	found := func(service string) int {
		list, err := c.Services(t.Context())
		if err != nil {
			return -1
		}
		for _, s := range list.Services {
			if s.Name == service {
				return s.Healthy
			}
		}
		return 0
	}

	run("up", "-d")
	t.Cleanup(func() { run("down", "-v", "-t", "10") })
	e.Run(service("web-1", "web"))
	await(t, "the container is found", func() bool { return found("web") == 1 })
	kept := exec.Command(path, "register", "db", "--address", "10.0.0.5", "--port", "5432", "--permanent")
	if output, err := kept.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}

	run("up", "-d", "--force-recreate")
	await(t, "all is found by the new container", func() bool { return found("web") == 1 && found("db") == 1 })
	if found("koine") != 0 {
		t.Error("Koine's own container is registered")
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes.Nodes) != 1 {
		t.Errorf("nodes %v, %v; want one", nodes.Nodes, err)
	}
}
