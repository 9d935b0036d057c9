package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/koine-sd/koine/internal/build"
	"github.com/koine-sd/koine/internal/eventually"
)

// DemoImage is the name under which Demo imports the demo service.
const DemoImage = "koine/demo:latest"

// Build builds a Go package as one static binary and returns its path.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	if err := build.Program(binary, pkg, []string{"CGO_ENABLED=0"}, "-trimpath", "-ldflags=-s -w"); err != nil {
		t.Fatal(err)
	}
	return binary
}

// Demo imports test/demo as DemoImage: FROM scratch, EXPOSE 80, ENTRYPOINT the server.
func (e *Engine) Demo() {
	e.t.Helper()
	e.Import(DemoImage, Build(e.t, "github.com/koine-sd/koine/test/demo"), "EXPOSE 80/tcp", `ENTRYPOINT ["/program"]`)
}

// Import makes an image that holds one binary as /program; changes are lines of a Dockerfile.
func (e *Engine) Import(image, binary string, changes ...string) {
	e.t.Helper()
	layer, err := tarball(binary)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	source := client.ImageImportSource{Source: layer, SourceName: "-"}
	result, err := e.client.ImageImport(ctx, source, image, client.ImageImportOptions{Changes: changes})
	if err != nil {
		e.t.Fatalf("import %s: %v", image, err)
	}
	output, err := io.ReadAll(result)
	if err := errors.Join(err, result.Close()); err != nil || bytes.Contains(output, []byte(`"error"`)) {
		e.t.Fatalf("import %s: %v %s", image, err, output)
	}
}

func tarball(binary string) (*bytes.Buffer, error) {
	text, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	return &buffer, w.Close()
}

// Container describes a container that a test runs; the default image is DemoImage.
type Container struct {
	Name     string
	Config   container.Config
	Host     container.HostConfig
	Networks *network.NetworkingConfig
}

// Run creates and starts a container and returns its id.
func (e *Engine) Run(c Container) string {
	e.t.Helper()
	id := e.Create(c)
	e.Do("start "+c.Name, func(ctx context.Context) error {
		_, err := e.client.ContainerStart(ctx, id, client.ContainerStartOptions{})
		return err
	})
	return id
}

// maxStarts bounds the containers that RunAll starts at once.
const maxStarts = 8

// RunAll creates and starts containers, several at once and in no order.
func (e *Engine) RunAll(containers ...Container) {
	e.t.Helper()
	var starts errgroup.Group
	starts.SetLimit(maxStarts)
	for _, c := range containers {
		starts.Go(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
			defer cancel()
			created, err := e.create(ctx, c)
			if err == nil {
				_, err = e.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
			}
			if err != nil {
				return fmt.Errorf("run %s: %w", c.Name, err)
			}
			return nil
		})
	}
	if err := starts.Wait(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *Engine) create(ctx context.Context, c Container) (client.ContainerCreateResult, error) {
	if c.Config.Image == "" {
		c.Config.Image = DemoImage
	}
	return e.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: c.Name, Config: &c.Config, HostConfig: &c.Host, NetworkingConfig: c.Networks,
	})
}

// Create creates a container without starting it and returns its id.
func (e *Engine) Create(c Container) (id string) {
	e.t.Helper()
	e.Do("create "+c.Name, func(ctx context.Context) error {
		created, err := e.create(ctx, c)
		id = created.ID
		return err
	})
	return id
}

// Inspect returns the engine's description of a container.
func (e *Engine) Inspect(id string) (c container.InspectResponse) {
	e.t.Helper()
	e.Do("inspect "+id, func(ctx context.Context) error {
		result, err := e.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		c = result.Container
		return err
	})
	return c
}

// Do makes a call of the engine with a bound on its time and fails the test if it fails.
func (e *Engine) Do(what string, call func(ctx context.Context) error) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	if err := call(ctx); err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}
