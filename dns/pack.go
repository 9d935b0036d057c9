package dns

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// The sizes of parts of a message, in bytes.
const (
	pointerSize = 2      // a compressed name
	fixedSize   = 10     // a record's type, class, TTL and the length of its data
	optSize     = 11     // an OPT record without options
	maxPointer  = 0x3fff // the last offset that a compressed name can point to
)

// packer writes one message. A record that does not fit below the limit is left out as a whole.
type packer struct {
	buf   []byte
	limit int
	ttl   uint32
}

// add writes a record whose data is in two parts. Its owner is the name at offset ownerAt.
func (p *packer) add(ownerAt int, rtype uint16, data, suffix []byte) bool {
	if ownerAt > maxPointer {
		return p.addSpelled(ownerAt, rtype, data)
	}
	if len(p.buf)+pointerSize+fixedSize+len(data)+len(suffix) > p.limit {
		return false
	}
	p.buf = binary.BigEndian.AppendUint16(p.buf, 0xc000|uint16(ownerAt))
	p.appendBody(rtype, data, suffix)
	return true
}

// addSpelled writes a record with its owner in full; the owner is the uncompressed name at offset ownerAt.
func (p *packer) addSpelled(ownerAt int, rtype uint16, data []byte) bool {
	end := ownerAt
	for p.buf[end] != 0 {
		end += 1 + int(p.buf[end])
	}
	owner := p.buf[ownerAt : end+1]
	if len(p.buf)+len(owner)+fixedSize+len(data) > p.limit {
		return false
	}
	p.buf = append(p.buf, owner...)
	p.appendBody(rtype, data, nil)
	return true
}

func (p *packer) appendBody(rtype uint16, data, suffix []byte) {
	b := binary.BigEndian.AppendUint16(p.buf, rtype)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, p.ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)+len(suffix)))
	p.buf = append(append(b, data...), suffix...)
}

// pack writes the reply to a request into the worker's buffer, where it is valid until the next reply. What does not
// fit is left out in this order: ADDITIONAL, then ANSWER with TC set; OPT always fits.
func (w *worker) pack(req *request, a *plan) []byte {
	limit := req.limit() - optLen(req, a)
	p := packer{buf: w.startReply(req), limit: limit, ttl: cmp.Or(a.ttl, w.server.ttl)}
	var answers, authority, additional int
	truncated := false
	if a.set != nil {
		answers, truncated = w.packAnswers(&p, req, a)
	} else if a.zone != nil {
		w.scratch = a.zone.appendSOA(w.scratch[:0], w.server.view.Revision(), w.server.ttl)
		apex := headerSize + len(req.qname) - len(a.zone.wire)
		if p.add(apex, dns.TypeSOA, w.scratch, nil) {
			authority = 1
		}
	}
	if a.set != nil && !truncated {
		additional = w.packGlue(&p, a.set)
	}
	if req.edns {
		p.buf = w.server.appendOPT(p.buf, req, a)
		additional++
	}
	w.out = p.buf
	flags := w.server.flags(req, a)
	if truncated {
		flags |= flagTC
	}
	binary.BigEndian.PutUint16(p.buf[2:], flags)
	binary.BigEndian.PutUint16(p.buf[6:], uint16(answers))
	binary.BigEndian.PutUint16(p.buf[8:], uint16(authority))
	binary.BigEndian.PutUint16(p.buf[10:], uint16(additional))
	return p.buf
}

// startReply writes the header, with its flags and counts left open, and the unchanged question.
func (w *worker) startReply(req *request) []byte {
	buf := binary.BigEndian.AppendUint16(w.out[:0], req.id)
	if len(req.qname) == 0 {
		return append(buf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	buf = append(buf, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	buf = append(buf, req.qname...)
	buf = binary.BigEndian.AppendUint16(buf, req.qtype)
	return binary.BigEndian.AppendUint16(buf, req.qclass)
}

// flags returns a reply's flags without TC.
func (s *Server) flags(req *request, a *plan) uint16 {
	flags := flagQR | req.flags&(opcodeMask|flagRD|flagCD) | uint16(a.rcode&0xf)
	if a.zone != nil {
		flags |= flagAA
	}
	if s.upstream.forwards() {
		flags |= flagRA
	}
	return flags
}

// most returns how many of the answer's records a reply may have.
func (a *plan) most() int {
	n := len(a.set.records)
	switch a.set.rtype {
	case dns.TypeCNAME: // a name may have only one
		return 1
	case dns.TypeA, dns.TypeAAAA, dns.TypeSRV:
		if a.limit > 0 {
			return min(n, a.limit)
		}
	}
	return n
}

// packAnswers writes as much of the answer as fits, and records in w.marks where each record's data begins. If the
// answer is cut, it is a sample that stays the same for the client: of SRV records, which the client weighs itself, and of addresses
// of equal weight. Other addresses are drawn by weight, each time; so are the records of an answer that has fewer because it is
// limited, which spreads the clients over all instances.
func (w *worker) packAnswers(p *packer, req *request, a *plan) (count int, truncated bool) {
	set, n := a.set, a.most()
	least := pointerSize + fixedSize + set.smallest
	if set.below {
		least += len(a.zone.address)
	}
	room := max(p.limit-len(p.buf), 0) / least
	k := min(n, room)
	if limited := n < len(set.records); k < n && !limited && (set.rtype == dns.TypeSRV || set.sums == nil) {
		w.order = w.sample(set, k, seedOf(req.client.ip))
	} else {
		w.order = w.byWeight(set, k)
	}
	w.marks = w.marks[:0]
	for _, i := range w.order {
		r := &set.records[i]
		at := len(p.buf) + pointerSize + fixedSize
		var suffix []byte
		if r.below {
			suffix = a.zone.address
		}
		if !p.add(headerSize, set.rtype, r.rdata, suffix) {
			return count, true
		}
		w.marks = append(w.marks, at)
		count++
	}
	return count, count < n
}

// packGlue writes the addresses of the names in the answer's records, as many as fit.
func (w *worker) packGlue(p *packer, set *recordSet) (count int) {
	if set.shared {
		clear(w.glued)
	}
	for i, at := range w.marks {
		for _, ip := range set.records[w.order[i]].glue {
			if set.shared && !w.firstGlue(ip) {
				continue
			}
			if !p.addAddress(at+set.glueOffset(), ip) {
				return count
			}
			count++
		}
	}
	return count
}

func (w *worker) firstGlue(ip netip.Addr) bool {
	if _, ok := w.glued[ip]; ok {
		return false
	}
	w.glued[ip] = struct{}{}
	return true
}

func (p *packer) addAddress(ownerAt int, ip netip.Addr) bool {
	if ip.Is4() {
		raw := ip.As4()
		return p.add(ownerAt, dns.TypeA, raw[:], nil)
	}
	raw := ip.As16()
	return p.add(ownerAt, dns.TypeAAAA, raw[:], nil)
}

// extendedText is the text that goes with the code of an extended error.
func (a *plan) extendedText() string {
	if a.reason != "" {
		return a.reason
	}
	switch a.extended {
	case dns.ExtendedErrorCodeNotReady:
		return "the catalog is loading"
	case dns.ExtendedErrorCodeNoReachableAuthority:
		return "no upstream resolver answers"
	case dns.ExtendedErrorCodeProhibited:
		return "names of other domains are not forwarded for this address"
	default:
		return ""
	}
}

// optLen returns the length of the OPT record of a reply.
func optLen(req *request, a *plan) int {
	if !req.edns {
		return 0
	}
	n := optSize
	if req.cookie.size > 0 {
		n += cookieOptionSize
	}
	if a.extended != 0 {
		n += 6 + len(a.extendedText())
	}
	return n
}

func (s *Server) appendOPT(b []byte, req *request, a *plan) []byte {
	b = append(b, 0) // the root
	b = binary.BigEndian.AppendUint16(b, dns.TypeOPT)
	b = binary.BigEndian.AppendUint16(b, req.mostUDP)
	var flags uint16
	if req.do {
		flags = 1 << 15
	}
	b = append(b, byte(a.rcode>>4), 0)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(optLen(req, a)-optSize))
	if req.cookie.size > 0 {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0COOKIE)
		b = binary.BigEndian.AppendUint16(b, clientCookieSize+serverCookieSize)
		b = s.cookies.appendReply(b, req.client.ip, &req.cookie, time.Now())
	}
	if a.extended == 0 {
		return b
	}
	text := a.extendedText()
	b = binary.BigEndian.AppendUint16(b, dns.EDNS0EDE)
	b = binary.BigEndian.AppendUint16(b, uint16(2+len(text)))
	b = binary.BigEndian.AppendUint16(b, a.extended)
	return append(b, text...)
}
