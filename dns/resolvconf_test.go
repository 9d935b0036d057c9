package dns

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

func TestParseResolvConf(t *testing.T) {
	const v4, v6, scoped = "192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%eth0]:53"
	var nine, nineServers strings.Builder
	for i := range 9 {
		fmt.Fprintf(&nine, "nameserver 192.0.2.%d\n", i)
		if i < maxSystemServers {
			fmt.Fprintf(&nineServers, "192.0.2.%d:53 ", i)
		}
	}
	for name, test := range map[string]struct {
		content string
		want    string
		bad     []int // the numbers of the lines that are left out
	}{
		"usual":          {"# from DHCP\nsearch example.com\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions timeout:1 rotate\n", v4 + " " + v6, nil},
		"bad zone":       {"nameserver fe804::52eb:f6ff:feaa:e8%ens8f0\nnameserver 192.0.2.1\n", v4, []int{1}},
		"zone":           {"nameserver fe80::1%eth0", scoped, nil},
		"no zone":        {"nameserver fe80::1\nnameserver 192.0.2.1", v4, []int{1}},
		"no address":     {"nameserver\nnameserver \t\nnameserver # later\nnameserver 192.0.2.1", v4, []int{1, 2, 3}},
		"host name":      {"nameserver dns.example.com\nnameserver 192.0.2.1", v4, []int{1}},
		"two in a line":  {"nameserver 192.0.2.1 192.0.2.2\nnameserver 2001:db8::1", v4 + " " + v6, []int{1}},
		"ports":          {"nameserver 192.0.2.1:5353\nnameserver [2001:db8::1]:54\nnameserver [2001:db8::1]", "192.0.2.1:5353 [2001:db8::1]:54 " + v6, nil},
		"bad ports":      {"nameserver 192.0.2.1:0\nnameserver 192.0.2.1:99999\nnameserver [192.0.2.1]", "", []int{1, 2, 3}},
		"comments":       {"#nameserver 192.0.2.9\n;nameserver 192.0.2.9\n  nameserver 192.0.2.1 # first\nnameserver 2001:db8::1;second", v4 + " " + v6, nil},
		"CRLF":           {"nameserver 192.0.2.1\r\nnameserver\r\nnameserver 2001:db8::1\r\n", v4 + " " + v6, []int{2}},
		"tabs and cases": {"\tNameServer\t192.0.2.1\t", v4, nil},
		"twice":          {"nameserver 192.0.2.1\nnameserver ::ffff:192.0.2.1\nnameserver 192.0.2.1", v4, nil},
		"other words":    {"nameservers 192.0.2.9\nname server 192.0.2.9\ndomain x\x00y\n", "", nil},
		"not a host":     {"nameserver 224.0.0.251\nnameserver ff02::fb\nnameserver 255.255.255.255", "", []int{1, 2, 3}},
		"many":           {nine.String(), strings.TrimSpace(nineServers.String()), []int{9}},
		"empty":          {"", "", nil},
		"10 MB":          {"nameserver 192.0.2.1\n" + strings.Repeat("# much ado\n", 1<<20), v4, []int{maxResolvConf/11 + 1}},
		"one long line":  {strings.Repeat("x", 10<<20), "", []int{1}},
	} {
		if len(test.content) > maxResolvConf {
			test.content = test.content[:maxResolvConf+1] // as readResolvConf reads it
		}
		servers, bad := parseResolvConf([]byte(test.content))
		if got := strings.ReplaceAll(serverList(servers), ",", ""); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		var numbers []int
		for _, line := range bad {
			numbers = append(numbers, line.number)
		}
		if name == "10 MB" {
			numbers = numbers[:min(len(numbers), 1)]
			if len(numbers) == 1 && numbers[0] > 1000 {
				numbers[0] = test.bad[0] // near the limit
			}
		}
		if diff := cmp.Diff(test.bad, numbers); diff != "" {
			t.Errorf("%s: lines left out: %s", name, diff)
		}
	}
}

// TestBadLineOfResolvConf holds that such a line is logged with its file and number, and that the server starts.
func TestBadLineOfResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, file, "search x\nnameserver fe804::52eb:f6ff:feaa:e8%ens8f0\nnameserver 192.0.2.1\n")
	var log bytes.Buffer
	s, err := New(Config{View: catalog.NewView(), ResolvConf: file, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Upstreams(); !slices.Equal(got, []string{"192.0.2.1:53"}) {
		t.Errorf("upstreams %q", got)
	}
	for _, want := range []string{"level=WARN", "file=" + file, "line=2", "ens8f0"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in the log: %s", want, log.String())
		}
	}
}

// TestOwnAddressInResolvConf holds that a server does not ask itself, whether its address was there first or the line in the file.
func TestOwnAddressInResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, file, "nameserver 192.0.2.1\nnameserver 2001:db8::1\n")
	s, err := New(Config{View: catalog.NewView(), ResolvConf: file})
	if err != nil {
		t.Fatal(err)
	}
	system, own := s.upstream.system, netip.MustParseAddrPort("192.0.2.1:53")
	want := func(when string, list ...string) {
		t.Helper()
		if got := s.Upstreams(); !slices.Equal(got, list) {
			t.Errorf("%s: %q, want %q", when, got, list)
		}
	}
	want("at first", "192.0.2.1:53", "[2001:db8::1]:53")
	s.opened(own)
	want("while it listens there", "[2001:db8::1]:53")
	write(t, file, "nameserver 192.0.2.1\nnameserver 192.0.2.7\n")
	system.look(false)
	want("after another line", "192.0.2.7:53")
	write(t, file, "nameserver 192.0.2.1\n") // Koine is made the host's only resolver
	system.look(false)
	want("with its own address only", "192.0.2.7:53")
	if got := s.view.Problems(); len(got) != 1 || !strings.Contains(got[0], "only this name server itself") {
		t.Errorf("problems %q", got)
	}
	s.closed(own)
	want("when it listens elsewhere", "192.0.2.1:53")
	if got := s.view.Problems(); len(got) != 0 {
		t.Errorf("problems %q", got)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestResolversAreFollowed changes the host's resolv.conf in all ways that programs do, while the server runs.
func TestResolversAreFollowed(t *testing.T) {
	answering := func(address string) string {
		return "nameserver " + newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
			return one(reply(q, q.Question[0].Name+" 300 IN A "+address))
		}).addr + "\n"
	}
	first, second := answering("192.0.2.1"), answering("192.0.2.2")
	dir := t.TempDir()
	file, other := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "other")
	var log syncBuffer
	s := newTestServer(t, Config{
		Upstreams: []string{"corp.example=192.0.2.9"}, ResolvConf: file, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, estate())
	at := start(t, s, "127.0.0.1:0")
	resolves := func(want string) bool {
		m, err := resent(query("x.example.", dns.TypeA), at, "udp")
		if err != nil {
			t.Fatal(err)
		}
		return len(m.Answer) == 1 && m.Answer[0].(*dns.A).A.String() == want || want == "" && m.Rcode == refused
	}
	replace := func(content string) func() {
		return func() {
			write(t, other, content)
			if err := os.Rename(other, file); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(to string) func() {
		return func() {
			os.Remove(file)
			if err := os.Symlink(to, file); err != nil {
				t.Fatal(err)
			}
		}
	}
	target := filepath.Join(dir, "run", "resolv.conf")
	if err := os.Mkdir(filepath.Dir(target), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what    string
		change  func()
		want    string
		problem string
	}{
		{"not there at the start", func() {}, "", "does not exist"},
		{"written later", func() { write(t, file, first) }, "192.0.2.1", ""},
		{"rewritten", func() { write(t, file, second) }, "192.0.2.2", ""},
		{"removed", func() { os.Remove(file) }, "192.0.2.2", "does not exist"},
		{"renamed into place", replace(first), "192.0.2.1", ""},
		{"renamed over", replace(second), "192.0.2.2", ""},
		{"emptied", func() { write(t, file, "") }, "192.0.2.2", "names no resolver"},
		{"filled again as before", func() { write(t, file, second) }, "192.0.2.2", ""},
		{"comments only", func() { write(t, file, "# being written") }, "192.0.2.2", "names no resolver"},
		{"link to nothing", link(target), "192.0.2.2", "does not exist"},
		{"target appears", func() { write(t, target, first) }, "192.0.2.1", ""},
		{"target changes", func() { write(t, target, second) }, "192.0.2.2", ""},
		{"target's directory replaced", func() {
			os.RemoveAll(filepath.Dir(target))
			os.Mkdir(filepath.Dir(target), 0o700)
			write(t, target, first)
		}, "192.0.2.1", ""},
		{"a directory", func() { os.Remove(file); os.Mkdir(file, 0o700) }, "192.0.2.1", "not a file"},
		{"a file again", func() { os.Remove(file); write(t, file, second) }, "192.0.2.2", ""},
	} {
		step.change()
		await(t, step.what, func() bool {
			problems := strings.Join(s.view.Problems(), "\n")
			return resolves(step.want) && (step.problem == "") == (problems == "") && strings.Contains(problems, step.problem)
		})
	}
	if log.count(`msg="upstream resolvers" servers=`+strings.Fields(second)[1]) == 0 {
		t.Error("the log does not name the resolvers in use")
	}
	before := log.count(`msg="upstream resolvers"`)
	s.Reload()
	await(t, "a reload is logged", func() bool { return log.count(`msg="upstream resolvers"`) > before })
}

// TestAnswersOfFormerResolvers holds that what the former resolvers denied or could not say is not kept, and that an answer of
// theirs is given only while the new ones are silent.
func TestAnswersOfFormerResolvers(t *testing.T) {
	old := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		switch q.Question[0].Name {
		case "good.example.", "kept.example.":
			return one(reply(q, q.Question[0].Name+" 3600 IN A 192.0.2.1"))
		case "denied.example.":
			m := reply(q)
			m.Rcode = nxdomain
			soa, _ := dns.NewRR("example. 3600 IN SOA ns.example. a.example. 1 1 1 1 3600")
			m.Ns = []dns.RR{soa}
			return one(m)
		default:
			m := reply(q)
			m.Rcode = dns.RcodeServerFailure
			return one(m)
		}
	})
	fresh := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		if q.Question[0].Name == "kept.example." {
			m := reply(q)
			m.Rcode = dns.RcodeServerFailure
			return one(m)
		}
		return one(reply(q, q.Question[0].Name+" 3600 IN A 192.0.2.2"))
	})
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, file, "nameserver "+old.addr)
	s := newTestServer(t, Config{Upstreams: []string{"corp.example=192.0.2.9"}, ResolvConf: file}, estate())
	w := seeded(s, 1)
	names := []string{"good.example.", "kept.example.", "denied.example.", "failed.example."}
	for _, name := range names {
		ask(t, w, query(name, dns.TypeA), false)
	}
	asked := old.asked.Load()
	write(t, file, "nameserver "+fresh.addr)
	s.upstream.system.look(false)
	for i, want := range []string{"192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.2"} {
		m := ask(t, w, query(names[i], dns.TypeA), false)
		if len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("%s: %v, want %s", names[i], m, want)
		}
	}
	if old.asked.Load() != asked {
		t.Error("the former resolver is still asked")
	}
}

// TestQuestionDuringAChange holds that a question in flight is answered by the resolvers that it went to, and that the next one does
// not wait for it.
func TestQuestionDuringAChange(t *testing.T) {
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	old := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		arrived <- struct{}{}
		<-release
		return one(reply(q, q.Question[0].Name+" 3600 IN A 192.0.2.1"))
	})
	fresh := newUpstream(t, func(q *dns.Msg, _ string) []*dns.Msg {
		return one(reply(q, q.Question[0].Name+" 3600 IN A 192.0.2.2"))
	})
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, file, "nameserver "+old.addr)
	s := newTestServer(t, Config{
		Upstreams: []string{"corp.example=192.0.2.9"}, ResolvConf: file, UpstreamTimeout: maxTTL,
	}, estate())
	first := make(chan *dns.Msg)
	go func() { first <- ask(t, seeded(s, 1), query("x.example.", dns.TypeA), false) }()
	<-arrived
	write(t, file, "nameserver "+fresh.addr)
	s.upstream.system.look(false)
	address := func(m *dns.Msg) string { return strings.Join(strings.Fields(fmt.Sprint(m.Answer)), " ") }
	if m := ask(t, seeded(s, 1), query("x.example.", dns.TypeA), false); !strings.Contains(address(m), "192.0.2.2") {
		t.Errorf("the next question: %v", m)
	}
	close(release)
	if m := <-first; !strings.Contains(address(m), "192.0.2.1") {
		t.Errorf("the question in flight: %v", m)
	}
	if m := ask(t, seeded(s, 1), query("x.example.", dns.TypeA), false); !strings.Contains(address(m), "192.0.2.2") {
		t.Errorf("after both: %v", m)
	}
}
