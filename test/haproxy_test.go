package test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/needs"
)

// TestHAProxyKeepsItsServers has HAProxy follow 200 instances by UDP, with room for most of them and for all: those that an answer
// has room for must each have a server, and keep it from one resolution to the next.
func TestHAProxyKeepsItsServers(t *testing.T) {
	const instances, resolutions = 200, 20
	dir := t.TempDir()
	services := "services:\n"
	for i := range instances {
		services += fmt.Sprintf("  - {name: s200, id: s200-%d, address: 127.1.0.%d, port: 80}\n", i, i+1)
	}
	writeFile(t, filepath.Join(dir, "s200.yaml"), services)
	k := newKoine(t, "--docker", "off", "--config-dir", dir).start()
	for _, size := range []uint16{8192, 65535} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := fitting(t, k, size)
			t.Logf("an answer has room for %d of %d", want, instances)
			if want < instances/2 || size == 65535 && want != instances {
				t.Fatalf("an answer of %d bytes has %d of %d", size, want, instances)
			}
			h := startHAProxy(t, k.dns, size, instances+100)
			var before map[string]string
			await(t, fmt.Sprintf("%d servers have an address", want), func() bool {
				before = h.servers(t)
				return len(before) == want
			})
			queries := resolutions
			if want < instances { // there was no room for the addresses, and HAProxy asks for each
				queries *= 1 + want
			}
			first := h.sent(t)
			changes := 0
			await(t, fmt.Sprint(resolutions, " resolutions"), func() bool {
				if after := h.servers(t); !maps.Equal(before, after) {
					changes++
					t.Errorf("the servers changed from %v to %v", before, after)
				}
				return changes > 0 || h.sent(t) >= first+queries
			})
		})
	}
}

// fitting returns how many instances an answer to HAProxy's query has.
func fitting(t *testing.T, k *koine, size uint16) int {
	t.Helper()
	m := new(mdns.Msg).SetQuestion("_s200._tcp.service.koine.", mdns.TypeSRV)
	m.SetEdns0(size, false)
	reply, _, err := (&mdns.Client{Net: "udp", UDPSize: size, Timeout: patience}).Exchange(m, k.dns)
	if err != nil {
		t.Fatal(err)
	}
	return len(reply.Answer)
}

// haproxy is a running HAProxy, with the socket by which it is asked.
type haproxy struct{ socket string }

// startHAProxy starts HAProxy with a number of servers for the instances of s200.
func startHAProxy(t *testing.T, server string, size uint16, servers int) haproxy {
	t.Helper()
	h := haproxy{socket: filepath.Join(t.TempDir(), "haproxy.sock")}
	conf := filepath.Join(t.TempDir(), "haproxy.cfg")
	writeFile(t, conf, fmt.Sprintf(`
global
    stats socket %s mode 600 level admin
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers k
    nameserver k %s
    accepted_payload_size %d
    timeout resolve 300ms
    hold obsolete 0s
listen all
    bind 127.0.0.1:18700
    server-template s 1-%d _s200._tcp.service.koine resolvers k init-addr none
`, h.socket, server, size, servers))
	log := &syncBuffer{}
	cmd := exec.Command(needs.Tool(t, "haproxy"), "-db", "-f", conf)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy said:\n%s", log)
		}
	})
	await(t, "haproxy listens", func() bool {
		_, err := h.ask("show version")
		return err == nil
	})
	return h
}

// ask gives HAProxy a command.
func (h haproxy) ask(command string) (string, error) {
	conn, err := net.Dial("unix", h.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	if err == nil && len(reply) == 0 {
		err = errors.New("no reply")
	}
	return string(reply), err
}

// servers returns the servers that have an address, with that.
func (h haproxy) servers(t *testing.T) map[string]string {
	t.Helper()
	reply, err := h.ask("show servers state all")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for line := range strings.Lines(reply) {
		// The fields of version 1: backend's id and name, server's id, name and address, …
		if f := strings.Fields(line); len(f) > 5 && f[1] == "all" && f[4] != "-" && f[4] != "0.0.0.0" {
			found[f[3]] = f[4]
		}
	}
	return found
}

// sent returns how many queries HAProxy has sent.
func (h haproxy) sent(t *testing.T) int {
	t.Helper()
	reply, err := h.ask("show resolvers k")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(reply) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "sent" {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no number of queries in %q", reply)
	return 0
}
