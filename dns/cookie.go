package dns

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

// The sizes of DNS cookies, in bytes (RFC 7873 §4).
const (
	clientCookieSize = 8
	serverCookieSize = 16 // of ours, by RFC 9018
	minServerCookie  = 8
	maxCookieSize    = 40 // client's and server's
	cookieOptionSize = 4 + clientCookieSize + serverCookieSize
)

// The times of server cookies (RFC 9018 §4.3 and §5).
const (
	cookieLife    = time.Hour
	cookieRenewal = cookieLife / 2  // older ones are replaced
	cookieAhead   = 5 * time.Minute // by which the clock of another server at the same address may be ahead
	secretLife    = 24 * time.Hour
)

// cookieVersion is the version that RFC 9018 defines.
const cookieVersion = 1

// cookie is the data of a COOKIE option from a client: the client cookie, followed by the server cookie that the client
// holds, if any. The zero value is no cookie.
type cookie struct {
	size uint8
	data [maxCookieSize]byte
}

// readCookie reads the data of a COOKIE option. It returns false for an invalid size (RFC 7873 §5.2.2).
func readCookie(data []byte) (c cookie, ok bool) {
	n := len(data)
	if n != clientCookieSize && (n < clientCookieSize+minServerCookie || n > maxCookieSize) {
		return c, false
	}
	c.size = uint8(copy(c.data[:], data))
	return c, true
}

func (c *cookie) client() []byte { return c.data[:clientCookieSize] }

func (c *cookie) server() []byte { return c.data[clientCookieSize:c.size] }

// secrets are the keys of server cookies. New ones are made with the current key; those of the previous key are still valid.
type secrets struct {
	current, previous [16]byte
	since             time.Time
}

// rolled returns the secrets for a time: new ones if the current key is older than secretLife, else the same.
func (s *secrets) rolled(now time.Time) *secrets {
	if now.Sub(s.since) < secretLife {
		return s
	}
	fresh := &secrets{previous: s.current, since: now}
	_, _ = rand.Read(fresh.current[:]) // it never fails
	return fresh
}

// cookies makes server cookies.
type cookies struct{ secrets atomic.Pointer[secrets] }

func newCookies(now time.Time) *cookies {
	c := &cookies{}
	first := (&secrets{}).rolled(now)
	_, _ = rand.Read(first.previous[:])
	c.secrets.Store(first)
	return c
}

// rollOver replaces the current key if it is older than secretLife.
func (c *cookies) rollOver(now time.Time) { c.secrets.Store(c.secrets.Load().rolled(now)) }

// appendReply appends the data of the COOKIE option for a reply: the client's cookie, and its server cookie if that is
// valid and younger than cookieRenewal, else a new one. A valid cookie gives a client no privilege: the bound on UDP
// answers is that of the links, and no query is refused for want of a cookie. The cookie only lets the client tell
// forged replies from genuine ones.
func (c *cookies) appendReply(b []byte, from netip.Addr, sent *cookie, now time.Time) []byte {
	b = append(b, sent.client()...)
	s := c.secrets.Load()
	if s.valid(from, sent, now) && age(sent.server(), now) < cookieRenewal {
		return append(b, sent.server()...)
	}
	return appendServerCookie(b, &s.current, sent.client(), from, [3]byte{}, uint32(now.Unix()))
}

// valid reports whether a server cookie was made with one of the keys for this client, at most cookieLife ago.
func (s *secrets) valid(from netip.Addr, sent *cookie, now time.Time) bool {
	theirs := sent.server()
	if len(theirs) != serverCookieSize || theirs[0] != cookieVersion {
		return false
	}
	if a := age(theirs, now); a > cookieLife || a < -cookieAhead {
		return false
	}
	stamp := binary.BigEndian.Uint32(theirs[4:])
	for _, secret := range []*[16]byte{&s.current, &s.previous} {
		var made [serverCookieSize]byte
		if bytes.Equal(appendServerCookie(made[:0], secret, sent.client(), from, [3]byte(theirs[1:4]), stamp), theirs) {
			return true
		}
	}
	return false
}

// age returns the age of a server cookie. Its time is in seconds and wraps around after 136 years (RFC 1982).
func age(server []byte, now time.Time) time.Duration {
	return time.Duration(int32(uint32(now.Unix())-binary.BigEndian.Uint32(server[4:]))) * time.Second
}

// appendServerCookie appends a server cookie for a client at an address (RFC 9018 §4).
func appendServerCookie(b []byte, secret *[16]byte, client []byte, from netip.Addr, reserved [3]byte, stamp uint32) []byte {
	var room [clientCookieSize + 8 + 16]byte
	message := append(room[:0], client...)
	message = append(message, cookieVersion, reserved[0], reserved[1], reserved[2])
	message = binary.BigEndian.AppendUint32(message, stamp)
	b = append(b, message[clientCookieSize:]...)
	if from = from.Unmap(); from.Is4() {
		four := from.As4()
		message = append(message, four[:]...)
	} else {
		sixteen := from.As16()
		message = append(message, sixteen[:]...)
	}
	return binary.LittleEndian.AppendUint64(b, sipHash(secret, message))
}
