package test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/internal/needs"
)

// environ is the environment of a program that must not find an engine, with some more variables.
func environ(more ...string) []string {
	return append(os.Environ(), append([]string{"KOINE_NO_DOCKER=1", "DOCKER_HOST=", "HTTP=", "DNS="}, more...)...)
}

// impostor is a server at the address meant for Koine. It answers every request.
func impostor(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, `{"revision": 7, "service": "web", "instances": [{"id": "web-1", "service": "web", "healthy": true}]}`)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// free returns an address without a listener.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestDemoAddresses runs the demo at addresses of its own: the examples that it prints are for these.
func TestDemoAddresses(t *testing.T) {
	needs.Tool(t, "bash")
	at, dns := free(t), free(t)
	p := startProgram(t, checkout(t), environ("KOINE_HTTP="+at, "KOINE_DNS="+dns), "scripts/demo")
	defer p.stop(t)
	await(t, "the demo is up", func() bool {
		p.mustRun(t)
		return strings.Contains(p.output.String(), "Ctrl-C ends it.\n")
	})
	_, port, _ := net.SplitHostPort(dns)
	for _, want := range []string{
		"Koine is up.", "dig @127.0.0.1 -p " + port + " +short web.service.koine", "curl " + at + "/api/v1/services/web",
		"KOINE_HTTP=" + at + " bin/koine services",
	} {
		await(t, "the demo prints "+want, func() bool { return strings.Contains(p.output.String(), want) })
	}
}

// TestDemoIsNotUp runs the demo where another server has its address, and answers the demo's requests.
func TestDemoIsNotUp(t *testing.T) {
	needs.Tool(t, "bash")
	demo := exec.Command("bash", "scripts/demo")
	demo.Dir, demo.Env = checkout(t), environ("KOINE_HTTP="+impostor(t), "KOINE_DNS="+free(t))
	output, err := demo.CombinedOutput()
	if err == nil || strings.Contains(string(output), "Koine is up") {
		t.Errorf("ended with %v:\n%s", err, output)
	}
	for _, want := range []string{"address already in use", "make run HTTP=127.0.0.1:9500 DNS=127.0.0.1:9600"} {
		if !strings.Contains(string(output), want) {
			t.Errorf("it does not say %q:\n%s", want, output)
		}
	}
}

// TestRunWithTakenPort holds that a taken port is named before anything is built.
func TestRunWithTakenPort(t *testing.T) {
	needs.Tool(t, "bash")
	taken := impostor(t)
	for _, variable := range []string{"HTTP", "DNS"} {
		run := exec.Command("bash", "scripts/run")
		run.Dir, run.Env = "..", environ("KOINE_HTTP="+free(t), "KOINE_DNS="+free(t), variable+"="+taken)
		output, err := run.CombinedOutput()
		if err == nil || !strings.HasPrefix(string(output), "run: "+taken+" is in use by another program. Choose other addresses: make run HTTP=") {
			t.Errorf("with %s taken it ends with %v:\n%s", variable, err, output)
		}
		if strings.Contains(string(output), "building") {
			t.Errorf("with %s taken it builds:\n%s", variable, output)
		}
	}
}

// TestInstallAsks holds that on a terminal nothing is installed without consent. Beside the shell's builtins only a false apt-get is
// found, so that every tool is missing.
func TestInstallAsks(t *testing.T) {
	script := needs.Tool(t, "script")
	dir := t.TempDir()
	for name, text := range map[string]string{"apt-get": "#!/bin/sh\n: > " + dir + "/called\n", "id": "#!/bin/sh\necho 0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.Command(script, "-qec", "/bin/bash scripts/install-tools curl", "/dev/null")
	run.Dir, run.Env, run.Stdin = "..", []string{"PATH=" + dir, "SHELL=/bin/sh"}, strings.NewReader("n\n")
	output, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "install the Debian packages curl for curl? [y/N]") ||
		!strings.Contains(string(output), "INSTALL=yes installs without a question") {
		t.Errorf("it ends with %v:\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(dir, "called")); err == nil {
		t.Error("it installs without consent")
	}
}
