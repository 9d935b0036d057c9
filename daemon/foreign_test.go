package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
)

// exchange sends bytes to a daemon's HTTP listener, and returns the status and the body of the answer.
func exchange(t *testing.T, d *Daemon, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", d.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return response.StatusCode, string(raw)
}

// TestPagesOfOthersAreRefused sends requests as a browser would, and as it would not, to a real listener with everything on.
func TestPagesOfOthersAreRefused(t *testing.T) {
	d := runDaemon(t, Config{
		Node: "box7", HTTP: "127.0.0.1:0", DNS: Off, Docker: Off, Profile: true, EnableScriptChecks: true,
		HTTPHosts: []string{"*.corp.example"}, CORSOrigins: []string{"https://ui.corp.example"},
	})
	address := d.HTTPAddr().String()
	host, _ := os.Hostname()
	const body = `{"service":"r","ttl":"10s"}`
	put := fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	const get = "Connection: close\r\n\r\n"
	for _, test := range []struct {
		request string
		status  int
	}{
		// a page whose name was made to resolve to this server (DNS rebinding)
		{"PUT /api/v1/instances/r HTTP/1.1\r\nHost: rebind.evil.example\r\nOrigin: http://rebind.evil.example\r\n" + put, 403},
		{"PUT /api/v1/instances/r HTTP/1.1\r\nHost: rebind.evil.example:8500\r\n" + put, 403},
		{"GET /api/v1/checks HTTP/1.1\r\nHost: rebind.evil.example\r\n" + get, 403},
		{"GET / HTTP/1.1\r\nHost: rebind.evil.example\r\n" + get, 403},
		{"GET /metrics HTTP/1.1\r\nHost: rebind.evil.example\r\n" + get, 403},
		{"GET /debug/pprof/ HTTP/1.1\r\nHost: rebind.evil.example\r\n" + get, 403},
		{"GET http://rebind.evil.example/metrics HTTP/1.1\r\nHost: " + address + "\r\n" + get, 403},
		{"GET /metrics HTTP/1.0\r\nHost: rebind.evil.example\r\n\r\n", 403},
		// a page of another server, and its form
		{"PUT /api/v1/instances/r HTTP/1.1\r\nHost: " + address + "\r\nOrigin: http://203.0.113.9\r\nSec-Fetch-Site: cross-site\r\nContent-Type: text/plain\r\n" + put, 403},
		{"PUT /api/v1/instances/r HTTP/1.1\r\nHost: " + address + "\r\nSec-Fetch-Site: cross-site\r\n" + put, 403},
		{"GET /api/v1/services HTTP/1.1\r\nHost: " + address + "\r\nOrigin: null\r\n" + get, 403},
		{"OPTIONS /api/v1/instances/r HTTP/1.1\r\nHost: " + address + "\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: PUT\r\n" + get, 403},
		// requests that no browser sends, and that HTTP forbids
		{"GET / HTTP/1.1\r\nHost: " + address + "\r\nHost: rebind.evil.example\r\n" + get, 400},
		{"GET / HTTP/1.1\r\nHost: rebind.evil.example\r\nHost: " + address + "\r\n" + get, 400},
		{"GET / HTTP/1.1\r\n" + get, 400},
		// clients
		{"GET / HTTP/1.1\r\nHost: " + address + "\r\n" + get, 200},
		{"GET /metrics HTTP/1.1\r\nHost: LOCALHOST.:1\r\n" + get, 200},
		{"GET /debug/pprof/ HTTP/1.1\r\nHost: [::1%25eth0]:8500\r\n" + get, 200},
		{"GET http://" + address + "/ HTTP/1.1\r\nHost: rebind.evil.example\r\n" + get, 200}, // RFC 9112, section 3.2.2: Host is ignored
		{"GET / HTTP/1.0\r\n\r\n", 200},
		{"GET / HTTP/1.1\r\nHost: BOX7:8500\r\n" + get, 200},
		{"GET / HTTP/1.1\r\nHost: " + host + "\r\n" + get, 200},
		{"GET / HTTP/1.1\r\nHost: koine.service.consul.\r\n" + get, 200},
		{"GET / HTTP/1.1\r\nHost: koine.corp.example\r\n" + get, 200},
		{"PUT /api/v1/instances/own HTTP/1.1\r\nHost: " + address + "\r\nOrigin: http://" + address + "\r\nSec-Fetch-Site: same-origin\r\n" + put, 200},
		{"PUT /api/v1/instances/ui HTTP/1.1\r\nHost: " + address + "\r\nOrigin: https://ui.corp.example\r\nSec-Fetch-Site: cross-site\r\n" + put, 200},
		{"OPTIONS /api/v1/instances/ui HTTP/1.1\r\nHost: " + address + "\r\nOrigin: https://ui.corp.example\r\nAccess-Control-Request-Method: PUT\r\n" + get, 204},
	} {
		status, answer := exchange(t, d, test.request)
		if status != test.status {
			t.Errorf("%q: %d %s, want %d", test.request, status, answer, test.status)
		}
		if status == 403 && !strings.Contains(answer, `"code":"denied"`) {
			t.Errorf("%q: %s", test.request, answer)
		}
	}
	for id, there := range map[string]bool{"r": false, "own": true, "ui": true} {
		if got := d.View().Instance("box7", id) != nil; got != there {
			t.Errorf("instance %s: there is %t", id, got)
		}
	}
}

func TestBadHostsAndOrigins(t *testing.T) {
	for flag, cfg := range map[string]Config{
		"--http-host":   {HTTPHosts: []string{"koine.example:8500"}},
		"--cors-origin": {CORSOrigins: []string{"*"}},
	} {
		cfg.Node, cfg.HTTP, cfg.DNS, cfg.Docker = "n1", Off, Off, Off
		if _, err := New(cfg); catalog.KindOf(err) != catalog.KindInvalid || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
