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
	// resendAfter is how long a question waits for an answer before it is sent again: any datagram may be lost, and the
	// resolvers of programs take the SERVFAIL that would come of it as final.
	resendAfter = 400 * time.Millisecond
	// maxSends is how often a question is sent to one server.
	maxSends = 3
	// maxStrays is how many messages that do not answer the query are passed over while waiting for the one that does.
	maxStrays = 64
)

// errNoAnswer is what the client's SERVFAIL stands for when no upstream answered.
var errNoAnswer = errors.New("no upstream resolver answers")

// turns is how far a question has got with its servers. It decides; exchange carries out.
type turns struct {
	// first is the server to begin with.
	first int
	// sent is how often each server has been asked.
	sent []int
	// out are the servers that have failed, or said that they cannot or will not answer. They are not asked again.
	out []bool
}

func newTurns(servers, first int) *turns {
	return &turns{first: first % max(servers, 1), sent: make([]int, servers), out: make([]bool, servers)}
}

// next returns the server to ask next: that which was asked the least, counted round from the first; -1 if all have been
// asked often enough.
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

// over reports whether no server is left that may still answer.
func (t *turns) over() bool {
	for _, out := range t.out {
		if !out {
			return false
		}
	}
	return true
}

// mostSaid is how much can come of asking one server: an error for each time that it is sent the question, a cut answer, and
// that which its reader ends with.
const mostSaid = maxSends + 2

// said is what came of asking one server.
type said struct {
	server int
	reply  *dns.Msg
	err    error
	// cut tells that the server is being asked again by TCP; the reply stands for what may not come of that.
	cut bool
}

// fallback is the best that can be answered so far without a helpful reply.
type fallback struct {
	// cut is a reply that lacks records, unwilling one that says no more than that a server cannot or will not answer.
	cut, unwilling *dns.Msg
	err            error
}

func (f *fallback) result() (*dns.Msg, error) {
	switch {
	case f.cut != nil:
		return f.cut, nil
	case f.unwilling != nil:
		return f.unwilling, nil
	default:
		return nil, f.err
	}
}

// note sorts in what a server has said. It returns true if that is the answer.
func (f *fallback) note(s said, server netip.AddrPort) bool {
	switch {
	case s.err != nil:
		f.err = fmt.Errorf("ask %s: %w", server, s.err)
	case s.cut:
		f.cut = s.reply
	case unhelpful(s.reply.Rcode):
		f.unwilling = s.reply
	default:
		return true
	}
	return false
}

// exchange asks the servers for a name until one has an answer: the first at once, then again and again the one whose turn
// it is, each time after a pause, or as soon as a server fails. The first answer counts. One that says no more than that
// the server cannot or will not say counts only if no other comes while the question has time.
func (f *forwarder) exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	servers, good := f.serversFor(query.Question[0].Name)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(servers))*f.timeout)
	asking := &asking{forwarder: f, query: query, servers: servers, lines: make([]*line, len(servers)), said: make(chan said, mostSaid*len(servers))}
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
				continue // all that is left is to wait
			}
			turns.sent[k]++
			asking.send(ctx, k)
			due.Reset(resendAfter)
		case s := <-asking.said:
			if best.note(s, servers[s.server]) {
				good.Store(int32(s.server))
				return s.reply, nil
			}
			if !s.cut {
				turns.out[s.server] = true
				due.Reset(0)
			}
		case <-ctx.Done():
			return best.result()
		}
	}
	return best.result()
}

// unhelpful reports whether a code says no more than that a server cannot or will not answer.
func unhelpful(rcode int) bool {
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused || rcode == dns.RcodeNotImplemented
}

// asking is one question with its servers.
type asking struct {
	forwarder *forwarder
	query     *dns.Msg
	servers   []netip.AddrPort
	// lines are the sockets to the servers that have been asked.
	lines []*line
	// said has room for all that they may say, so that nobody waits to be heard.
	said    chan said
	readers sync.WaitGroup
}

// send sends the question to a server, by the socket that it was sent before if it was: under the same port and ID, so that
// a forger has no more to hit than one.
func (a *asking) send(ctx context.Context, k int) {
	if a.lines[k] != nil {
		if err := a.lines[k].send(); err != nil {
			a.said <- said{server: k, err: err}
		}
		return
	}
	l, err := a.forwarder.open(ctx, a.servers[k], a.query)
	if err != nil {
		a.said <- said{server: k, err: err}
		return
	}
	a.lines[k] = l
	a.readers.Go(func() { a.read(ctx, k) })
}

// read waits for what a server says, and asks it again by TCP if the answer was cut. If that fails the cut answer stands.
func (a *asking) read(ctx context.Context, k int) {
	l := a.lines[k]
	defer l.close()
	reply, err := l.receive()
	if err == nil && reply.Truncated {
		a.said <- said{server: k, reply: reply, cut: true}
		if whole, err := a.forwarder.askByTCP(ctx, a.servers[k], a.query); err == nil {
			reply = whole
		}
	}
	a.said <- said{server: k, reply: reply, err: err}
}

// line is a socket, and so a port, of its own for one question to one server, under an ID of its own.
type line struct {
	socket net.Conn
	query  *dns.Msg
	packed []byte
	close  func()
}

// open opens the line and sends the question. The line ends with the context.
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

// remember notes the address of a socket on which an answer is waited for, until it is forgotten.
func (f *forwarder) remember(socket net.Conn) (forget func()) {
	local, ok := socket.LocalAddr().(*net.UDPAddr)
	if !ok {
		return func() {}
	}
	from := local.AddrPort()
	f.asking.Store(from, nil)
	return func() { f.asking.Delete(from) }
}

// asks reports whether an address is that of a socket on which an answer is waited for.
func (f *forwarder) asks(from netip.AddrPort) bool {
	_, ok := f.asking.Load(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	return ok
}

func (l *line) send() error {
	_, err := l.socket.Write(l.packed)
	return err
}

// receive waits for the answer to the question; what does not answer it is passed over.
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

// askByTCP asks a server for the whole of an answer.
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
	return reply, passable(reply)
}
