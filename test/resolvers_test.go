package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/koine-sd/koine/internal/needs"
)

// resolverOf starts a resolver in the foreground with a configuration, at an address of loopback.
var resolverOf = map[string]func(t *testing.T, address, conf string) *exec.Cmd{
	"dnsmasq": func(t *testing.T, address, conf string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(address)
		return exec.Command(needs.Tool(t, "dnsmasq"), "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root",
			"--pid-file=", "--log-facility=-", "--bind-interfaces", "--listen-address="+host, "--port="+port, "--conf-file="+conf)
	},
	"unbound": func(t *testing.T, address, conf string) *exec.Cmd {
		whole := filepath.Join(t.TempDir(), "unbound.conf")
		// It validates by the root's key, as it does when Debian installs it.
		writeFile(t, whole, "server:\n\tinterface: "+strings.Replace(address, ":", "@", 1)+"\n\tusername: \"\"\n\tchroot: \"\"\n\tdirectory: \"/\"\n"+
			"\tpidfile: \"\"\n\tuse-syslog: no\n\tmodule-config: \"validator iterator\"\n"+
			"\ttrust-anchor: \". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D04458E880409BBC683457104237C7F8EC8D\"\n"+
			"remote-control:\n\tcontrol-enable: no\ninclude: \""+conf+"\"\n")
		return exec.Command(needs.Tool(t, "unbound"), "-d", "-p", "-c", whole)
	},
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // a resolver reads it as another user
		t.Fatal(err)
	}
}

// TestHostsResolvers runs resolvers with the configurations of the page, and finds a service through them, in both
// domains and by both transports.
func TestHostsResolvers(t *testing.T) {
	k := newKoine(t, "--docker", "off").start()
	if _, err := k.client.Register(t.Context(), permanent("web-1", "web")); err != nil {
		t.Fatal(err)
	}
	blocks := readBlocks(t, "../docs/find-containers-by-dns.md")
	for name, start := range resolverOf {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(blocks, func(b block) bool { return b.directive == "resolver "+name })
			if i < 0 {
				t.Fatal("the page has no configuration for it")
			}
			_, port, _ := net.SplitHostPort(k.dns)
			conf := filepath.Join(t.TempDir(), "koine.conf")
			writeFile(t, conf, strings.ReplaceAll(strings.Join(blocks[i].lines, "\n")+"\n", "8600", port))
			const address = "127.0.0.1:18653"
			log := &syncBuffer{}
			cmd := start(t, address, conf)
			cmd.Stdout, cmd.Stderr = log, log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("%s said:\n%s", name, log)
				}
			}()
			for _, question := range []string{"web.service.koine.", "web.service.consul."} {
				for _, network := range []string{"udp", "tcp"} {
					await(t, name+" answers "+question+" by "+network, func() bool {
						m, err := exchange(new(mdns.Msg).SetQuestion(question, mdns.TypeA), address, network)
						return err == nil && m.Rcode == mdns.RcodeSuccess && len(m.Answer) == 1
					})
				}
			}
		})
	}
}
