package script

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/koine-sd/koine/engine/enginetest"
	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/needs"
)

// Images that hold the same program as the demo.
const (
	// portless exposes nothing.
	portless = "koine/portless:latest"
	// checked has a HEALTHCHECK.
	checked = "koine/checked:latest"
)

// TestDockerScripts runs the scripts that need containers. They share one engine, so each has container names of its
// own.
func TestDockerScripts(t *testing.T) {
	needs.Tool(t, "docker")
	engine := dockertest.Start(t, dockertest.Config{})
	demo := dockertest.Build(t, "github.com/koine-sd/koine/test/demo")
	const entry = `ENTRYPOINT ["/program"]`
	engine.Import(portless, demo, entry)
	engine.Import(dockertest.DemoImage, demo, entry, "EXPOSE 80/tcp")
	engine.Import(checked, demo, entry, "EXPOSE 80/tcp",
		`HEALTHCHECK --interval=200ms --retries=1 CMD ["/program", "-healthcheck"]`)
	bin := t.TempDir()
	build(t, bin)
	files, err := filepath.Glob("testdata/docker/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	p := params(bin, "", files)
	setup, store := p.Setup, "etcd://"+enginetest.Etcd(t)
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("DOCKER_HOST", engine.Host())
		env.Setenv("ETCD", store)
		return setup(env)
	}
	t.Run("docker", func(t *testing.T) { testscript.Run(t, p) })
}
