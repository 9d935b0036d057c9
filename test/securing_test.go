package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	moby "github.com/moby/moby/client"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/internal/needs"
)

// securing returns a block of the page on securing Koine, with some of its text replaced.
func securing(t *testing.T, directive string, replace ...string) string {
	t.Helper()
	blocks := readBlocks(t, "../docs/securing.md")
	i := slices.IndexFunc(blocks, func(b block) bool { return b.directive == directive })
	if i < 0 {
		t.Fatalf("the page has no block %q", directive)
	}
	text := strings.Join(blocks[i].lines, "\n") + "\n"
	for n := 0; n < len(replace); n += 2 {
		if !strings.Contains(text, replace[n]) {
			t.Fatalf("block %q has no %q", directive, replace[n])
		}
	}
	return strings.NewReplacer(replace...).Replace(text)
}

// writeTo writes a file and returns its path.
func writeTo(t *testing.T, path, text string) string {
	t.Helper()
	writeFile(t, path, text)
	return path
}

// startNginx serves with a configuration until the test ends.
func startNginx(t *testing.T, conf string) {
	t.Helper()
	dir := t.TempDir()
	whole := "user root;\ndaemon off;\npid " + dir + "/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		whole += kind + "_temp_path " + dir + "/" + kind + ";\n"
	}
	cmd := exec.Command(needs.Tool(t, "nginx"), "-c", writeTo(t, filepath.Join(dir, "nginx.conf"), whole+conf+"}\n"))
	log := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // so that it ends its workers, too
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", log)
		}
	})
}

// certificate makes a key and a certificate of its own for 127.0.0.1, and returns their files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "koine.corp.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert = writeTo(t, filepath.Join(dir, "koine.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return cert, writeTo(t, filepath.Join(dir, "koine.key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})))
}

// proxied is Koine behind nginx, with one of the configurations of the page.
type proxied struct {
	t    *testing.T
	http *http.Client
	cert string
}

const proxy = "127.0.0.1:18443"

func behindNginx(t *testing.T, readers bool) *proxied {
	t.Helper()
	k := newKoine(t, "--docker", "off").start()
	cert, key := certificate(t)
	users := writeTo(t, filepath.Join(t.TempDir(), "users"), "deploy:{PLAIN}s3cret\n")
	conf := securing(t, "nginx proxy", "listen 8443", "listen "+proxy, "127.0.0.1:8500", k.http, "/etc/nginx/koine.crt", cert,
		"/etc/nginx/koine.key", key, "/etc/nginx/koine.users", users)
	if readers {
		location := securing(t, "nginx readers", "127.0.0.1:8500", k.http, "/etc/nginx/koine.users", users)
		from := strings.Index(conf, "    auth_basic ")
		conf = conf[:from] + location + "}\n"
	}
	startNginx(t, conf)
	roots := x509.NewCertPool()
	text, err := os.ReadFile(cert)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	p := &proxied{t: t, cert: cert, http: &http.Client{
		Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}}
	await(t, "nginx answers", func() bool { _, err := p.do(http.MethodGet, "/api/v1/health", "", ""); return err == nil })
	return p
}

// do makes a request, with a password if one is given, and returns the status.
func (p *proxied) do(method, path, password, body string) (status int, err error) {
	request, err := http.NewRequestWithContext(p.t.Context(), method, "https://"+proxy+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	if password != "" {
		request.SetBasicAuth("deploy", password)
	}
	response, err := p.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func (p *proxied) want(method, path, password, body string, want int) {
	p.t.Helper()
	if status, err := p.do(method, path, password, body); err != nil || status != want {
		p.t.Errorf("%s %s with password %q: %d, %v, want %d", method, path, password, status, err, want)
	}
}

const registration = `{"service": "web", "permanent": true, "port": 80}`

// TestProxyOfThePage holds the page's promises about the proxy: nothing without a password, everything with it, and
// watches without a delay.
func TestProxyOfThePage(t *testing.T) {
	p := behindNginx(t, false)
	for _, password := range []string{"", "wrong"} {
		p.want(http.MethodGet, "/api/v1/services", password, "", http.StatusUnauthorized)
		p.want(http.MethodGet, "/metrics", password, "", http.StatusUnauthorized)
		p.want(http.MethodPut, "/api/v1/instances/web-1", password, registration, http.StatusUnauthorized)
	}
	p.want(http.MethodPut, "/api/v1/instances/web-1", "s3cret", registration, http.StatusOK)

	koine, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	lookup := exec.Command(koine, "lookup", "web")
	lookup.Env = append(os.Environ(), "KOINE_HTTP=https://deploy:s3cret@"+proxy, "SSL_CERT_FILE="+p.cert)
	if out, err := lookup.CombinedOutput(); err != nil || string(out) != "127.0.0.1:80\n" {
		t.Errorf("koine lookup through the proxy: %v, %s", err, out)
	}
	watched, err := client.New(client.Config{Address: "https://deploy:s3cret@" + proxy, HTTPClient: p.http})
	if err != nil {
		t.Fatal(err)
	}
	sees(t, watched)
}

// sees watches a service, and changes it only once the watch has begun.
func sees(t *testing.T, c *client.Client) {
	t.Helper()
	for event, err := range c.Watch(t.Context(), client.WatchOptions{Services: []string{"later"}, Progress: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(event.Instances) > 0 {
			return
		}
		if _, err := c.Register(t.Context(), permanent("later-1", "later")); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("the watch ended")
}

func TestReadersOfThePage(t *testing.T) {
	p := behindNginx(t, true)
	p.want(http.MethodGet, "/api/v1/services", "", "", http.StatusOK)
	p.want(http.MethodPut, "/api/v1/instances/web-1", "", registration, http.StatusUnauthorized)
	p.want(http.MethodPut, "/api/v1/instances/web-1", "s3cret", registration, http.StatusOK)
	p.want(http.MethodDelete, "/api/v1/instances/web-1", "wrong", "", http.StatusUnauthorized)
	p.want(http.MethodGet, "/api/v1/services/web", "", "", http.StatusOK)
}

// TestDockerProxyOfThePage has Koine follow an engine that it can only read.
func TestDockerProxyOfThePage(t *testing.T) {
	e := docker{startDocker(t)}
	socket := filepath.Join(t.TempDir(), "read.sock")
	startNginx(t, securing(t, "nginx docker", "/run/docker-read.sock", socket, "/var/run/docker.sock", strings.TrimPrefix(e.Host(), "unix://")))
	await(t, "nginx listens", func() bool { _, err := os.Stat(socket); return err == nil })
	k := newKoine(t, "--docker", "unix://"+socket).start()
	id := e.Run(service("web-1", "web"))
	k.await("the container is registered", func() bool {
		list, err := k.client.Instances(t.Context(), instancesOf("web"))
		return err == nil && len(list.Instances) == 1
	})
	e.Do("kill", func(ctx context.Context) error {
		_, err := e.Client().ContainerKill(ctx, id, moby.ContainerKillOptions{})
		return err
	})
	k.await("the container has gone", func() bool {
		list, err := k.client.Instances(t.Context(), instancesOf("web"))
		return err == nil && len(list.Instances) == 0
	})
	through := &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	for path, method := range map[string]string{
		"/containers/" + id + "/start": http.MethodPost, "/v1.44/containers/create": http.MethodPost, "/images/json": http.MethodGet,
		"/containers/" + id + "/archive?path=/": http.MethodGet, "/containers/" + id: http.MethodDelete,
	} {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://docker"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := through.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: %s, want 403", method, path, response.Status)
		}
	}
}

// TestFirewallOfThePage asks an open Koine from two addresses of another host, one of which the table admits.
func TestFirewallOfThePage(t *testing.T) {
	nft := needs.Tool(t, "nft")
	needs.Root(t, "make a network of its own to try the table in")
	other := exec.Command("sleep", "3600")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	run := func(command string) {
		t.Helper()
		if out, err := exec.Command("bash", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	run(fmt.Sprintf("ip link add kt0 type veth peer name kt1 netns %d", other.Process.Pid))
	defer run("ip link delete kt0")
	run("ip addr add 10.0.1.7/24 dev kt0 && ip addr add 192.0.2.7/24 dev kt0 && ip link set kt0 up")
	run(fmt.Sprintf("nsenter -n -t %d bash -c 'ip addr add 10.0.1.8/24 dev kt1; ip addr add 192.0.2.8/24 dev kt1; ip link set kt1 up'", other.Process.Pid))
	run(nft + " -f " + writeTo(t, filepath.Join(t.TempDir(), "koine.nft"), securing(t, "nft", "8500", "18500", "8600", "18600")))
	defer run(nft + " delete table inet koine")

	newKoine(t, "--docker", "off", "--http", "0.0.0.0:18500", "--dns", "0.0.0.0:18600", "--advertise", "10.0.1.7").start()
	for from, passes := range map[string]bool{"10.0.1.8": true, "192.0.2.8": false} {
		to := strings.TrimSuffix(from, "8") + "7"
		var web, name, names error
		err := within(other.Process.Pid, func() error {
			dialer := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			conn, err := dialer.DialContext(t.Context(), "tcp", to+":18500")
			if web = err; err == nil {
				_ = conn.Close()
			}
			question := new(mdns.Msg).SetQuestion("n1.node.koine.", mdns.TypeA)
			_, _, name = (&mdns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}, Timeout: patience}).Exchange(question, to+":18600")
			_, _, names = (&mdns.Client{Net: "tcp", Dialer: dialer, Timeout: patience}).Exchange(question, to+":18600")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{"HTTP": web, "DNS by UDP": name, "DNS by TCP": names} {
			if passes && err != nil || !passes && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s from %s: %v, want it to pass: %v", what, from, err, passes)
			}
		}
	}
}
