package dns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// maxResolvConf bounds the bytes of a resolv.conf that are read, maxSystemServers the resolvers that are taken from it, and
	// maxBadLines the lines in error that are logged.
	maxResolvConf    = 64 << 10
	maxSystemServers = 8
	maxBadLines      = 8
	// resolvConfEvery is the time between two looks at resolv.conf. It is polled, because the path may be a symbolic link, a bind mount,
	// or not there yet, none of which a watch of the file sees.
	resolvConfEvery = time.Second
)

// system is the resolvers of this host, as its resolv.conf names them. A file that names none that can be used, because it is
// missing, empty or being written, leaves the last ones in use.
type system struct {
	file string
	log  *slog.Logger
	// problem reports in /health that the file names no resolver; "" withdraws that.
	problem func(string)
	// apply uses a list of resolvers from now on.
	apply func([]netip.AddrPort)

	mu sync.Mutex
	// content and failure are what the last look found, servers the resolvers in it.
	content []byte
	failure error
	looked  bool
	servers []netip.AddrPort
	// named is the last list of the file with a resolver other than this server; listens are this server's own addresses.
	named, listens []netip.AddrPort
	// used is named without listens. reason says why it is not what the file names now; empty if it is.
	used   []netip.AddrPort
	reason string
	// selves are the resolvers that were logged as this server itself.
	selves map[netip.AddrPort]bool
}

// look reads the file, and takes its resolvers if it has changed. If it was asked for, it logs the outcome in any case.
func (s *system) look(asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := readResolvConf(s.file)
	same := s.looked && bytes.Equal(content, s.content) && fmt.Sprint(err) == fmt.Sprint(s.failure)
	if same && !asked {
		return
	}
	s.content, s.failure = content, err
	var bad []badLine
	s.servers, bad = parseResolvConf(content)
	s.warn(bad)
	s.settle(asked || !s.looked)
	s.looked = true
}

// listen adds an address of this server, which must not be among its own resolvers.
func (s *system) listen(addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens = append(s.listens, addr)
	s.settle(false)
}

// leave removes an address that this server no longer listens on.
func (s *system) leave(addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens = slices.DeleteFunc(s.listens, func(a netip.AddrPort) bool { return a == addr })
	s.settle(false)
}

// settle uses the resolvers of the file that are not this server itself, or if there are none the last ones that it named. It logs
// them if they have changed, and if tell is set. It is called with mu held.
func (s *system) settle(tell bool) {
	reason := ""
	if len(withoutSelf(s.servers, s.listens)) > 0 {
		s.named = s.servers
	} else {
		reason = s.why()
	}
	s.tellSelves()
	used := withoutSelf(s.named, s.listens)
	tell = tell || reason != s.reason || !slices.Equal(used, s.used)
	if !slices.Equal(used, s.used) {
		s.apply(used)
	}
	s.used, s.reason = used, reason
	if tell {
		s.tell()
	}
}

// why says why the file names no resolver that can be used.
func (s *system) why() string {
	switch {
	case errors.Is(s.failure, os.ErrNotExist):
		return s.file + " does not exist"
	case s.failure != nil:
		return fmt.Sprintf("%s cannot be read: %v", s.file, s.failure)
	case len(s.servers) > 0:
		return s.file + " names only this name server itself"
	default:
		return s.file + " names no resolver"
	}
}

// tell logs the resolvers in use, and reports in /health whether they are not those of the file.
func (s *system) tell() {
	list := serverList(s.used)
	switch {
	case s.reason == "":
		s.problem("")
		s.log.Info("upstream resolvers", "servers", list, "file", s.file)
	case len(s.used) > 0:
		s.problem(s.reason + ": the upstream resolvers are those that it named before, " + list)
		s.log.Warn("no upstream resolvers: keeping those named before", "reason", s.reason, "servers", list)
	default:
		s.problem("no upstream resolvers, so names of other domains are refused: " + s.reason)
		s.log.Warn("no upstream resolvers: names of other domains are refused", "file", s.file, "reason", s.reason)
	}
}

// tellSelves logs each resolver of the file that is this server itself, once.
func (s *system) tellSelves() {
	now := make(map[netip.AddrPort]bool)
	for _, server := range s.servers {
		if !isOneOf(server, s.listens) {
			continue
		}
		now[server] = true
		if !s.selves[server] {
			s.log.Warn("upstream resolver is this name server itself: not used", "upstream", server)
		}
	}
	s.selves = now
}

func (s *system) warn(bad []badLine) {
	for i, line := range bad {
		if i == maxBadLines {
			s.log.Warn("more lines of resolv.conf are left out", "file", s.file, "lines", len(bad)-i)
			return
		}
		s.log.Warn("line of resolv.conf is left out", "file", s.file, "line", line.number, "text", line.text, "reason", line.reason)
	}
}

// withoutSelf returns the servers that are not this server itself.
func withoutSelf(servers, listens []netip.AddrPort) (others []netip.AddrPort) {
	for _, server := range servers {
		if !isOneOf(server, listens) {
			others = append(others, server)
		}
	}
	return others
}

func isOneOf(server netip.AddrPort, listens []netip.AddrPort) bool {
	return slices.ContainsFunc(listens, func(self netip.AddrPort) bool { return isSelf(server, self) })
}

func serverList(servers []netip.AddrPort) string {
	texts := make([]string, len(servers))
	for i, server := range servers {
		texts[i] = server.String()
	}
	return strings.Join(texts, ", ")
}

// readResolvConf reads the beginning of a resolv.conf. What is not a file, such as a pipe, is not opened: that could block.
func readResolvConf(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxResolvConf+1))
}

// badLine is a line of a resolv.conf that is left out.
type badLine struct {
	number       int
	text, reason string
}

// parseResolvConf returns the resolvers that a resolv.conf names, each once, and the lines that name none although they should. Such a line does
// not stop the others, as it does not in the C library. Other settings, such as search, timeout and rotate, have no meaning for a
// name server.
func parseResolvConf(content []byte) (servers []netip.AddrPort, bad []badLine) {
	whole := len(content) <= maxResolvConf
	if !whole {
		content = content[:bytes.LastIndexByte(content[:maxResolvConf], '\n')+1]
	}
	number := 0
	leaveOut := func(text, reason string) {
		bad = append(bad, badLine{number, shortened(text), reason})
	}
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimSpace(string(line))
		value, ok := nameserver(text)
		if !ok {
			continue
		}
		address, more, _ := strings.Cut(value, " ")
		if more != "" {
			leaveOut(text, "only the first address of a line is used")
		}
		server, err := parseResolver(address)
		switch {
		case err != nil:
			leaveOut(text, err.Error())
		case slices.Contains(servers, server):
		case len(servers) == maxSystemServers:
			leaveOut(text, fmt.Sprintf("only the first %d resolvers are used", maxSystemServers))
		default:
			servers = append(servers, server)
		}
	}
	if !whole {
		number++
		leaveOut("", fmt.Sprintf("only the first %d bytes are read", maxResolvConf))
	}
	return servers, bad
}

// nameserver returns what a line has behind the word nameserver, without a comment; false if the line is another one.
func nameserver(line string) (value string, ok bool) {
	end := strings.IndexAny(line, "#; \t")
	if end < 0 {
		end = len(line)
	}
	if !strings.EqualFold(line[:end], "nameserver") {
		return "", false
	}
	value, _, _ = strings.Cut(line[end:], "#")
	value, _, _ = strings.Cut(value, ";")
	return strings.Join(strings.Fields(value), " "), true
}

// parseResolver reads the address in a line of resolv.conf. As elsewhere, it may have a port.
func parseResolver(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, errors.New("it has no address")
	}
	server, err := parseUpstream(text)
	ip := server.Addr()
	switch {
	case err != nil:
		return server, errors.New("it has no address that can be read")
	case ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return server, errors.New("its address is not that of one host")
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "":
		return server, errors.New("its link-local address lacks the interface: write it as fe80::1%eth0")
	}
	return server, nil
}

// shortened returns the beginning of a text, for a log.
func shortened(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	for n := most; ; n-- {
		if utf8.RuneStart(text[n]) {
			return text[:n] + "…"
		}
	}
}
