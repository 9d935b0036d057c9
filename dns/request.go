package dns

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// The sizes of messages, in bytes.
const (
	headerSize  = 12
	minUDP      = 512   // every client takes this much
	maxUDP      = 4096  // the maximum of Config.UDPSize
	offeredUDP  = 1232  // offered to upstream resolvers, and the default of Config.UDPSize; it fits every link unfragmented
	hostUDP     = 65507 // the most that UDP carries over IPv4, for clients that no link separates from this host
	maxTCP      = 65535 // the maximum of the length prefix of a TCP message
	maxRequest  = 4096  // more is not read
	maxSections = 16    // records in a request besides its question
)

// The bits of a header's flags.
const (
	flagQR     = 1 << 15
	flagAA     = 1 << 10
	flagTC     = 1 << 9
	flagRD     = 1 << 8
	flagRA     = 1 << 7
	flagCD     = 1 << 4
	opcodeMask = 0xf << 11
)

// request is a query as received. Its slices belong to the message that it was parsed from.
type request struct {
	id    uint16
	flags uint16
	// qname is the name in wire form, in its original letter case; empty if the message has no question to return.
	qname  []byte
	qtype  uint16
	qclass uint16
	// labels are the name's labels in lower case, without the root's.
	labels []string

	edns    bool
	version uint8
	size    uint16
	do      bool
	cookie  cookie

	tcp    bool
	client client
	// mostUDP is the most bytes of a reply by UDP, and the size that this server advertises. local lifts the bound: the client is
	// on this host.
	mostUDP uint16
	local   bool
	// names has the texts of names asked for before; nil if none are kept.
	names nameTable
	// text is the name in wire form in lower case; fresh reports that names did not have it.
	text  string
	fresh bool
}

// limit returns the most bytes that a reply may have.
func (r *request) limit() int {
	switch {
	case r.tcp:
		return maxTCP
	case !r.edns:
		return minUDP
	case r.local:
		return int(min(max(r.size, minUDP), hostUDP))
	default:
		return int(min(max(r.size, minUDP), r.mostUDP))
	}
}

// parse reads a message into r. It returns false if the message deserves no reply: it is not a query, or is shorter
// than a header. A code other than RcodeSuccess is the reply to an invalid query; the part of the question that r holds
// is then returned with it.
func (r *request) parse(msg []byte) (rcode int, ok bool) {
	*r = request{labels: r.labels[:0], tcp: r.tcp, client: r.client, mostUDP: r.mostUDP, names: r.names}
	if len(msg) < headerSize {
		return 0, false
	}
	r.id = binary.BigEndian.Uint16(msg)
	r.flags = binary.BigEndian.Uint16(msg[2:])
	if r.flags&flagQR != 0 {
		return 0, false
	}
	if r.flags&opcodeMask != 0 {
		return dns.RcodeNotImplemented, true
	}
	questions, answers := binary.BigEndian.Uint16(msg[4:]), binary.BigEndian.Uint16(msg[6:])
	if questions != 1 || answers != 0 {
		return dns.RcodeFormatError, true
	}
	end, ok := r.parseQuestion(msg)
	if !ok {
		return dns.RcodeFormatError, true
	}
	return r.parseRecords(msg, end), true
}

// parseQuestion reads the one question and returns where it ends. Its name cannot be compressed, because no name comes
// before it.
func (r *request) parseQuestion(msg []byte) (end int, ok bool) {
	var lower [255]byte
	end = headerSize
	for {
		if end >= len(msg) {
			return 0, false
		}
		size := int(msg[end])
		next := end + 1 + size
		if size > 63 || next > len(msg) || next-headerSize > len(lower) {
			return 0, false
		}
		for i := end; i < next; i++ {
			lower[i-headerSize] = lowerByte(msg[i])
		}
		end = next
		if size == 0 {
			break
		}
	}
	if end+4 > len(msg) {
		return 0, false
	}
	r.qname = msg[headerSize:end]
	r.qtype = binary.BigEndian.Uint16(msg[end:])
	r.qclass = binary.BigEndian.Uint16(msg[end+2:])
	r.text, r.fresh = r.names.text(lower[:len(r.qname)])
	for i := 0; r.text[i] != 0; i += 1 + int(r.qname[i]) {
		r.labels = append(r.labels, r.text[i+1:i+1+int(r.qname[i])])
	}
	return end + 4, true
}

// lowerByte turns ASCII letters to lower case. Lengths of labels are below 'A' and pass unchanged.
func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// parseRecords reads the records after the question, to find the OPT record.
func (r *request) parseRecords(msg []byte, off int) (rcode int) {
	authority := int(binary.BigEndian.Uint16(msg[8:]))
	count := authority + int(binary.BigEndian.Uint16(msg[10:]))
	if count > maxSections {
		return dns.RcodeFormatError
	}
	for i := range count {
		next, isOPT, rcode := r.parseOPT(msg, off, i < authority)
		if rcode != dns.RcodeSuccess {
			return rcode
		}
		if !isOPT {
			rr, after, err := dns.UnpackRR(msg, off)
			if err != nil || after == off || rr.Header().Rrtype == dns.TypeOPT { // the library takes the end of a message for an empty record
				return dns.RcodeFormatError
			}
			next = after
		}
		off = next
	}
	return r.refuse()
}

// parseOPT reads an OPT record (RFC 6891 §6.1.2) and returns where it ends. It returns false if the record is of
// another type. Options other than COOKIE are skipped.
func (r *request) parseOPT(msg []byte, off int, misplaced bool) (next int, ok bool, rcode int) {
	if len(msg) < off+optSize || msg[off] != 0 || binary.BigEndian.Uint16(msg[off+1:]) != dns.TypeOPT {
		return 0, false, dns.RcodeSuccess
	}
	next = off + optSize + int(binary.BigEndian.Uint16(msg[off+optSize-2:]))
	if misplaced || r.edns || next > len(msg) {
		return 0, true, dns.RcodeFormatError
	}
	r.edns, r.size = true, binary.BigEndian.Uint16(msg[off+3:])
	r.version, r.do = msg[off+6], msg[off+7]&0x80 != 0
	if !r.parseOptions(msg[off+optSize : next]) {
		return 0, true, dns.RcodeFormatError
	}
	return next, true, dns.RcodeSuccess
}

// parseOptions reads the options of an OPT record. The first cookie counts.
func (r *request) parseOptions(data []byte) (ok bool) {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		code, end := binary.BigEndian.Uint16(data), 4+int(binary.BigEndian.Uint16(data[2:]))
		if end > len(data) {
			return false
		}
		if code == dns.EDNS0COOKIE && r.cookie.size == 0 {
			if r.cookie, ok = readCookie(data[4:end]); !ok {
				return false
			}
		}
		data = data[end:]
	}
	return true
}

// refuse returns the code for a well-formed query that this server does not answer.
func (r *request) refuse() (rcode int) {
	switch {
	case r.version != 0:
		return dns.RcodeBadVers
	case r.qtype == dns.TypeOPT || r.qtype == dns.TypeNone:
		return dns.RcodeFormatError
	case r.qclass != dns.ClassINET || r.qtype == dns.TypeAXFR || r.qtype == dns.TypeIXFR:
		return dns.RcodeRefused
	default:
		return dns.RcodeSuccess
	}
}
