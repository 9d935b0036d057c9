package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// TestFewDescriptors holds more connections open than the process may have files: it answers DNS, runs its checks, keeps its
// store, and says once what it limits.
func TestFewDescriptors(t *testing.T) {
	k := newKoine(t, "--docker", "off")
	k.files = 120
	k.start()
	checked, address := listenAt(t, "127.0.0.1:0")
	web := permanent("w", "web")
	web.Checks = []catalog.Check{{ID: "w:1", Definition: catalog.Definition{
		Type: catalog.CheckTCP, TCP: address, Interval: catalog.Duration(time.Second),
	}}}
	if _, err := k.client.Register(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	k.awaitAddresses("web", "127.0.0.1")

	connections, codes := holdWatches(t, k, 150)
	if watches, refused := codes[http.StatusOK], codes[http.StatusServiceUnavailable]; watches < 20 || refused == 0 || watches+refused+codes[0] != 150 {
		t.Errorf("150 watches: %v; want some open, and the others refused with 503 or closed", codes)
	}
	k.await("one client more gets the reason why it is not served", func() bool {
		_, err := k.client.Health(t.Context())
		return catalog.KindOf(err) == catalog.KindUnavailable && strings.Contains(err.Error(), "too many connections")
	})
	if runtime.GOOS == "linux" {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", k.cmd.Process.Pid))
		if err != nil || len(open) > k.files-20 {
			t.Errorf("%d files are open, %v; want room for those that the store opens", len(open), err)
		}
	}
	answers := func(network string, want int) bool {
		c := &mdns.Client{Net: network, Timeout: patience}
		reply, _, err := c.Exchange(new(mdns.Msg).SetQuestion("web.service.koine.", mdns.TypeA), k.dns)
		return err == nil && reply.Rcode == mdns.RcodeSuccess && len(reply.Answer) == want
	}
	checked.Close()
	k.await("the check notices that the service is gone", func() bool { return answers("udp", 0) })
	checked, _ = listenAt(t, address)
	defer checked.Close()
	k.await("the check notices that it is back", func() bool { return answers("udp", 1) && answers("tcp", 1) })

	for _, c := range connections {
		c.Close()
	}
	k.await("there is room again", func() bool { _, err := k.client.Health(t.Context()); return err == nil })
	if _, err := k.client.Register(t.Context(), permanent("later", "web")); err != nil {
		t.Error(err)
	}
	if err := k.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	said := k.stderr.String()
	if n := strings.Count(said, "http has all connections that it may have"); n != 1 {
		t.Errorf("the limit is logged %d times", n)
	}
	if strings.Contains(said, "too many open files") || strings.Contains(said, "level=ERROR") {
		t.Error("descriptors ran out")
	}
}

// listenAt listens, and returns where.
func listenAt(t *testing.T, address string) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().String()
}

// holdWatches opens connections that each ask for a watch, and returns them with how many got which answer.
func holdWatches(t *testing.T, k *koine, n int) (connections []net.Conn, codes map[int]int) {
	t.Helper()
	codes = make(map[int]int)
	for range n {
		c, err := net.Dial("tcp", k.http)
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, c)
		if _, err := io.WriteString(c, "GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			codes[0]++
			continue
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil) // its body does not end
		if err != nil {
			codes[0]++
			continue
		}
		codes[response.StatusCode]++
	}
	t.Cleanup(func() {
		for _, c := range connections {
			c.Close()
		}
	})
	return slices.Clip(connections), codes
}
