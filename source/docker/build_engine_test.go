package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/internal/dockertest"
	"github.com/koine-sd/koine/internal/eventually"
)

// buildContext is a tar archive with a Dockerfile.
func buildContext(t *testing.T, dockerfile string) io.Reader {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, dockerfile); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buffer
}

// TestEngineBuildSteps: the container of a step of docker build is of no service, whatever its Dockerfile labels the image with.
func TestEngineBuildSteps(t *testing.T) {
	e := startEngine(t)
	for name, dockerfile := range map[string]string{
		"labelled":        "FROM " + dockertest.DemoImage + "\nLABEL koine.name=built SERVICE_NAME=built\nRUN [\"/program\"]\n",
		"without a label": "FROM " + dockertest.DemoImage + "\nENV DEMO_NAME=x\nRUN [\"/program\"]\n",
		"of Compose":      "FROM " + dockertest.DemoImage + "\nLABEL com.docker.compose.project=p com.docker.compose.service=web\nRUN [\"/program\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			sink := newSink()
			s, err := New(Config{Host: e.Host(), Sink: sink, Node: "n1", Logger: testLogger(t)})
			if err != nil {
				t.Fatal(err)
			}
			stop := runUntilEnd(t, s)
			defer stop()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			built := make(chan error, 1)
			go func() {
				result, err := e.Client().ImageBuild(ctx, buildContext(t, dockerfile), client.ImageBuildOptions{ForceRemove: true})
				if err == nil {
					_, err = io.Copy(io.Discard, result.Body)
					result.Body.Close()
				}
				built <- err
			}()
			var id string
			eventually.True(t, "the step runs", func() bool {
				list, err := e.Client().ContainerList(t.Context(), client.ContainerListOptions{})
				if err != nil || len(list.Items) == 0 {
					return false
				}
				id = list.Items[0].ID
				return true
			})
			var why string
			eventually.True(t, "the step is looked at", func() bool {
				instances, left, err := s.Explain(t.Context(), id)
				if err == nil && len(instances) > 0 {
					t.Fatalf("the step is registered as %v", instances)
				}
				if len(left) == 1 {
					why = left[0].Why
				}
				return strings.Contains(why, "docker build")
			})
			cancel()
			<-built
			eventually.True(t, "the step has ended", func() bool {
				list, err := e.Client().ContainerList(t.Context(), client.ContainerListOptions{})
				return err == nil && len(list.Items) == 0
			})
		})
	}
}
