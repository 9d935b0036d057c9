package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// corednsVersion is the release that is built and measured.
const corednsVersion = "v1.15.0"

// corednsMain has only the measured plugins: with all of them the build takes many times longer.
const corednsMain = `package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/etcd"
)

func main() { coremain.Run() }
`

// buildCoreDNS builds CoreDNS in a module of its own, at low priority, unless it exists already.
func buildCoreDNS(ctx context.Context, cfg *config) (program string, err error) {
	program, err = filepath.Abs(filepath.Join(cfg.peers, "coredns-"+corednsVersion))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintln(os.Stderr, "bench: building CoreDNS", corednsVersion, "into", program, "- once")
	dir := filepath.Join(cfg.scratch, "coredns")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, text := range map[string]string{"go.mod": "module coredns\n\ngo 1.26.0\n", "main.go": corednsMain} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"go", "get", "github.com/coredns/coredns@" + corednsVersion},
		{"go", "build", "-mod=mod", "-o", program, "."},
	} {
		cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "19"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build coredns: %w: %s", err, out)
		}
	}
	return program, nil
}

// coredns is CoreDNS with the etcd that it reads.
type coredns struct {
	*process
	etcd *process
	addr netip.AddrPort
}

func (c *coredns) stop() {
	c.process.stop()
	c.etcd.stop()
}

// startCoreDNS starts CoreDNS over an etcd that holds an estate in SkyDNS's layout, below Koine's domain.
func startCoreDNS(ctx context.Context, cfg *config, e estate) (*coredns, error) {
	program, err := buildCoreDNS(ctx, cfg)
	if err != nil {
		return nil, err
	}
	store, err := startEtcd(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &coredns{etcd: store.process}
	if err := loadSkyDNS(ctx, store.addr, e); err != nil {
		store.stop()
		return nil, err
	}
	if c.addr, err = freePort(); err != nil {
		store.stop()
		return nil, err
	}
	corefile := filepath.Join(cfg.scratch, "Corefile")
	text := fmt.Sprintf("koine.:%d {\n bind 127.0.0.1\n cache 3600 koine\n etcd koine {\n  path /skydns\n  endpoint http://%s\n }\n}\n",
		c.addr.Port(), store.addr)
	if err := os.WriteFile(corefile, []byte(text), 0o600); err != nil {
		store.stop()
		return nil, err
	}
	if c.process, err = launch(program, "-conf", corefile); err != nil {
		store.stop()
		return nil, err
	}
	err = c.await(ctx, "wait for coredns", func() bool {
		reply, err := ask(ctx, c.addr, serviceName(0), dns.TypeA)
		return err == nil && len(reply.Answer) == e.instances
	})
	if err != nil {
		c.stop()
	}
	return c, err
}

func loadSkyDNS(ctx context.Context, addr string, e estate) error {
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer store.Close()
	for n := range e.total() {
		i := e.instance(n)
		key := fmt.Sprintf("/skydns/koine/service/%s/%s", i.Service, i.ID)
		value := fmt.Sprintf(`{"host":"%s","port":%d,"ttl":5}`, i.Addresses[0].IP, i.Ports[0].Number)
		if _, err := store.Put(ctx, key, value); err != nil {
			return fmt.Errorf("load etcd: %w", err)
		}
	}
	return nil
}

// ask asks a name server for a service.
func ask(ctx context.Context, addr netip.AddrPort, service string, qtype uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(service+".service.koine.", qtype)
	reply, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, query, addr.String())
	return reply, err
}

// askRaw asks a name server for a service and returns the unchanged reply.
func askRaw(addr netip.AddrPort, service string, qtype uint16) ([]byte, error) {
	query, err := new(dns.Msg).SetQuestion(service+".service.koine.", qtype).Pack()
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	reply := make([]byte, 4096)
	n, err := conn.Read(reply)
	return reply[:n], err
}
