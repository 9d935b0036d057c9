package test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/needs"
)

// TestUserWithoutRightsOnDocker runs Koine as a user who may not open the engine's socket: it is not ready with no containers, and
// says what to do. Once the engine lets it in, it is ready. So it is with a socket that comes after Koine's start.
func TestUserWithoutRightsOnDocker(t *testing.T) {
	for name, late := range map[string]bool{"socket at the start": false, "socket that comes later": true} {
		t.Run(name, func(t *testing.T) { userWithoutRights(t, late) })
	}
}

func userWithoutRights(t *testing.T, late bool) {
	needs.Root(t, "to run Koine as another user")
	const nobody = 65534
	dir, err := os.MkdirTemp("", "denied") //nolint:usetesting // others may not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(data, 0o700), os.Chown(data, nobody, nobody)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "docker.sock")
	k := newKoine(t, "--docker", "unix://"+socket, "--data-dir", data)
	k.credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	if late {
		k.launch()
		await(t, "it misses the engine", func() bool { return strings.Contains(k.stderr.String(), "lost the docker engine") })
	}
	mask := syscall.Umask(0o177)
	engine, err := net.Listen("unix", socket)
	syscall.Umask(mask)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	if !late {
		k.launch()
	}
	await(t, "it says what to do", func() bool {
		response, body, err := k.get("/api/v1/services")
		return err == nil && response.StatusCode == http.StatusServiceUnavailable &&
			strings.Contains(string(body), "user nobody may not open the Docker engine's socket "+socket) &&
			strings.Contains(string(body), "--docker off does without containers")
	})
	await(t, "the log says so", func() bool { return strings.Contains(k.stderr.String(), "its containers are unknown") })
	reply, err := k.ask("web.service.koine.", mdns.TypeA)
	if err != nil || reply.Rcode != mdns.RcodeServerFailure {
		t.Errorf("DNS: %v, %v; want SERVFAIL", reply, err)
	}

	go http.Serve(engine, http.HandlerFunc(emptyEngine)) //nolint:gosec // it ends with the listener
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	await(t, "it is ready once it is let in", func() bool {
		response, _, err := k.get("/api/v1/services")
		return err == nil && response.StatusCode == http.StatusOK
	})
}

// emptyEngine answers as an engine without containers.
func emptyEngine(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/_ping"):
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]"))
	}
}
