package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// resendAfter is how long a server may take to answer before the question is sent again: any datagram may be lost,
	// and the resolvers of programs take SERVFAIL as final.
	resendAfter = 400 * time.Millisecond
	// maxSends bounds how often a question is sent to one server.
	maxSends = 3
	// maxStrays bounds the messages that are ignored because they do not answer the query.
	maxStrays = 64
)

// errNoAnswer is returned if no upstream has answered in time. The client gets SERVFAIL.
var errNoAnswer = errors.New("no upstream resolver answers")

// errCut is returned if no upstream gives the whole answer. A client that asks by UDP gets the part, marked as such; to one that
// asks by TCP, for the whole, it would look like an empty answer.
var errCut = errors.New("the upstream resolver gives only a part of the answer")

// turns decides which server a question is sent to next. exchange carries it out.
type turns struct {
	// first is the index of the server that is asked first.
	first int
	// sent counts how often each server has been asked.
	sent []int
	// out marks the servers that have failed or have refused to answer. They are not asked again.
	out []bool
}

func newTurns(servers, first int) *turns {
	return &turns{first: first % max(servers, 1), sent: make([]int, servers), out: make([]bool, servers)}
}

// next returns the server to ask next: of those asked least often, the first at or after first. It returns -1 once all
// have been asked maxSends times or are out.
func (t *turns) next() int {
	found := -1
	for i := range t.sent {
		k := (t.first + i) % len(t.sent)
		if !t.out[k] && t.sent[k] < maxSends && (found < 0 || t.sent[k] < t.sent[found]) {
			found = k
		}
	}
	return found
}

// over reports whether all servers are out.
func (t *turns) over() bool {
	for _, out := range t.out {
		if !out {
			return false
		}
	}
	return true
}

// maxResults bounds the results from one server: an error for each send, a cut reply, and the last result of its reader.
const maxResults = maxSends + 2

// result is a reply or an error from one server.
type result struct {
	server int
	reply  *dns.Msg
	err    error
	// cut marks a truncated reply whose server is being asked for the whole by TCP.
	cut bool
}

// fallback is the answer if no helpful reply comes.
type fallback struct {
	// cut is a truncated reply. unwilling is a reply with which a server refuses to answer.
	cut, unwilling *dns.Msg
	err            error
}

func (f *fallback) reply() (*dns.Msg, error) {
	switch {
	case f.cut != nil:
		return f.cut, nil
	case f.unwilling != nil:
		return f.unwilling, nil
	default:
		return nil, f.err
	}
}

// note keeps a result for later. It returns true if the result is the answer.
func (f *fallback) note(r result, server netip.AddrPort) bool {
	switch {
	case r.err != nil:
		f.err = fmt.Errorf("ask %s: %w", server, r.err)
	case r.cut:
		f.cut = r.reply
	case unhelpful(r.reply.Rcode):
		f.unwilling = r.reply
	default:
		return true
	}
	return false
}

// exchange asks the servers for a name until one answers. It asks the first at once, and then the one whose turn it is,
// every resendAfter or as soon as a server fails. The first answer counts. A reply with which a server refuses to
// answer counts only if no other reply comes in time.
func (f *forwarder) exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	resolvers := f.resolversFor(query.Question[0].Name)
	servers, good := resolvers.servers, &resolvers.good
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(servers))*f.timeout)
	asking := &asking{forwarder: f, query: query, servers: servers, lines: make([]*line, len(servers)), results: make(chan result, maxResults*len(servers))}
	defer asking.readers.Wait()
	defer cancel()
	turns, best := newTurns(len(servers), int(good.Load())), fallback{err: errNoAnswer}
	due := time.NewTimer(0)
	defer due.Stop()
	for !turns.over() {
		select {
		case <-due.C:
			k := turns.next()
			if k < 0 {
				continue // wait for the servers already asked
			}
			turns.sent[k]++
			asking.send(ctx, k)
			due.Reset(resendAfter)
		case r := <-asking.results:
			if best.note(r, servers[r.server]) {
				good.Store(int32(r.server))
				return r.reply, nil
			}
			if !r.cut {
				turns.out[r.server] = true
				due.Reset(0)
			}
		case <-ctx.Done():
			return best.reply()
		}
	}
	return best.reply()
}

// unhelpful reports whether the code of a reply means that a server refuses to answer, or cannot.
func unhelpful(rcode int) bool {
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused || rcode == dns.RcodeNotImplemented ||
		rcode == dns.RcodeFormatError
}

// asking is one question with its servers.
type asking struct {
	forwarder *forwarder
	query     *dns.Msg
	servers   []netip.AddrPort
	// lines are the sockets to the servers that have been asked.
	lines []*line
	// results has room for all results of all servers, so that no send to it blocks.
	results chan result
	readers sync.WaitGroup
}

// send sends the question to a server. It is sent again from the same socket and with the same ID, so that a forger has
// no second pair of port and ID to guess.
func (a *asking) send(ctx context.Context, k int) {
	if a.lines[k] != nil {
		if err := a.lines[k].send(); err != nil {
			a.results <- result{server: k, err: err}
		}
		return
	}
	l, err := a.forwarder.open(ctx, a.servers[k], a.query)
	if err != nil {
		a.results <- result{server: k, err: err}
		return
	}
	a.lines[k] = l
	a.readers.Go(func() { a.read(ctx, k) })
}

// read waits for a server's reply, and asks for the whole by TCP if the reply is truncated. If that fails the server has failed,
// and its truncated reply is left for the case that all do.
func (a *asking) read(ctx context.Context, k int) {
	l := a.lines[k]
	defer l.close()
	reply, err := l.receive()
	if err == nil && refusesEDNS(reply) {
		reply, err = a.askPlainly(ctx, k)
	}
	if err == nil && reply.Truncated {
		a.results <- result{server: k, reply: reply, cut: true}
		reply, err = a.forwarder.askByTCP(ctx, a.servers[k], a.query)
	}
	a.results <- result{server: k, reply: reply, err: err}
}

// refusesEDNS reports whether a reply can mean that the server does not know EDNS (RFC 6891, section 7).
func refusesEDNS(reply *dns.Msg) bool {
	return reply.IsEdns0() == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented)
}

// askPlainly asks a server once more, without EDNS.
func (a *asking) askPlainly(ctx context.Context, k int) (*dns.Msg, error) {
	plain := *a.query
	plain.Extra = nil
	l, err := a.forwarder.open(ctx, a.servers[k], &plain)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return l.receive()
}

// line is the socket for one question to one server. It has a port and an ID of its own.
type line struct {
	socket net.Conn
	query  *dns.Msg
	packed []byte
	close  func()
}

// open opens a line and sends the question. The socket is closed when the context ends.
func (f *forwarder) open(ctx context.Context, server netip.AddrPort, query *dns.Msg) (*line, error) {
	sent := *query
	sent.Id = dns.Id()
	packed, err := sent.Pack()
	if err != nil {
		return nil, err
	}
	socket, err := f.dial(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	forget := f.remember(socket)
	l := &line{socket: socket, query: &sent, packed: packed, close: func() {
		stop()
		socket.Close()
		forget()
	}}
	if err := l.send(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// remember adds the address of a socket to those that wait for an answer. The caller must call forget when the socket
// is closed.
func (f *forwarder) remember(socket net.Conn) (forget func()) {
	local, ok := socket.LocalAddr().(*net.UDPAddr)
	if !ok {
		return func() {}
	}
	from := local.AddrPort()
	f.asking.Store(from, nil)
	return func() { f.asking.Delete(from) }
}

// asks reports whether an address belongs to a socket that waits for an answer.
func (f *forwarder) asks(from netip.AddrPort) bool {
	_, ok := f.asking.Load(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	return ok
}

func (l *line) send() error {
	_, err := l.socket.Write(l.packed)
	return err
}

// receive waits for the answer to the question. It ignores messages that do not answer it.
func (l *line) receive() (*dns.Msg, error) {
	buf := make([]byte, maxUDP)
	for range maxStrays {
		n, err := l.socket.Read(buf)
		if err != nil {
			return nil, err
		}
		var reply dns.Msg
		if reply.Unpack(buf[:n]) == nil && answers(&reply, l.query) {
			return &reply, passable(&reply)
		}
	}
	return nil, errors.New("only answers to other questions came")
}

// askByTCP asks a server by TCP, for an answer that does not fit a datagram.
func (f *forwarder) askByTCP(ctx context.Context, server netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	socket, err := f.dial(ctx, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	conn, sent := dns.Conn{Conn: socket}, *query
	sent.Id = dns.Id()
	if err := conn.WriteMsg(&sent); err != nil {
		return nil, err
	}
	reply, err := conn.ReadMsg()
	if err != nil {
		return nil, err
	}
	if !answers(reply, &sent) {
		return nil, errors.New("an answer to another question came")
	}
	if reply.Truncated {
		return nil, errCut
	}
	return reply, passable(reply)
}
