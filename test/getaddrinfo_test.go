package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/needs"
)

// TestLoadSpreadsInSpiteOfGetaddrinfo looks a service up as most programs do, by getaddrinfo of glibc, on a host with an IPv6
// address, where it sorts addresses by RFC 6724: the instances are on a network of the host, and it puts those first whose addresses
// have most in common with the host's own.
func TestLoadSpreadsInSpiteOfGetaddrinfo(t *testing.T) {
	needs.Root(t, "make an interface")
	unshare, ip := needs.Tool(t, "unshare"), needs.Tool(t, "ip")
	getent := needs.Tool(t, "getent")
	for _, line := range []string{
		"link add spread0 type veth peer name spread1", "addr add 10.231.0.1/24 dev spread0", "link set spread0 up", "link set spread1 up",
		"-6 addr replace fe80::1/64 dev spread0 nodad",
	} {
		if output, err := exec.Command(ip, strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, output)
		}
	}
	t.Cleanup(func() { _ = exec.Command(ip, "link", "del", "spread0").Run() })
	dir := t.TempDir()
	services := "services:\n"
	for name, limit := range map[string]string{"limited": ", dns_limit: 1", "unlimited": "", "weighted": ", dns_limit: 1"} {
		for i := range 8 {
			weight := 1
			if name == "weighted" && i == 7 {
				weight = 100
			}
			services += fmt.Sprintf("  - {name: %s, id: %s-%d, address: 10.231.0.%d, port: 80, weight: %d%s}\n", name, name, i, i+2, weight, limit)
		}
	}
	writeFile(t, filepath.Join(dir, "services.yaml"), services)
	k := newKoine(t, "--docker", "off", "--config-dir", dir, "--dns", "127.0.0.1:53").start()
	k.await("all instances", func() bool {
		for _, name := range []string{"limited", "unlimited", "weighted"} {
			if found, err := k.client.Lookup(t.Context(), catalog.Query{Service: name}); err != nil || len(found.Instances) != 8 {
				return false
			}
		}
		return true
	})

	resolvConf, switchConf := filepath.Join(t.TempDir(), "resolv.conf"), filepath.Join(t.TempDir(), "nsswitch.conf")
	writeFile(t, resolvConf, "nameserver 127.0.0.1\n")
	writeFile(t, switchConf, "hosts: dns\n")
	// The addresses that 200 programs would take.
	firsts := func(name string) map[string]int {
		const script = `mount --bind "$1" /etc/resolv.conf && { [ ! -e /etc/nsswitch.conf ] || mount --bind "$2" /etc/nsswitch.conf; } || exit
for i in $(seq 200); do "$3" ahosts "$4" | head -n 1; done`
		cmd := exec.Command(unshare, "--mount", "--", "sh", "-c", script, "sh", resolvConf, switchConf, getent, name+".service.koine")
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		count := make(map[string]int)
		for line := range strings.Lines(string(output)) {
			count[strings.Fields(line)[0]]++
		}
		t.Logf("%s: %v", name, count)
		return count
	}
	if reached := firsts("unlimited"); len(reached) >= 8 {
		t.Errorf("without a limit all are reached, so nothing was sorted: %v", reached)
	}
	for _, name := range []string{"limited", "one.unlimited"} {
		if reached := firsts(name); len(reached) != 8 { // by chance less than once in 10¹⁰ times
			t.Errorf("%s: %d of 8 are reached: %v", name, len(reached), reached)
		}
	}
	if reached := firsts("weighted"); reached["10.231.0.9"] < 150 { // 187 of 200 on the average, with a deviation of 3.5
		t.Errorf("the heaviest of the instances is not reached most: %v", reached)
	}
}
