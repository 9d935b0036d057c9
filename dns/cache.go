package dns

import (
	"container/list"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds on the answers of the upstream resolvers that are kept.
const (
	maxCached      = 10_000         // answers; past it the least recently used one goes
	maxCachedBytes = 4096           // of an answer; longer ones are not kept
	maxPositive    = 24 * time.Hour // RFC 8767 §4 would allow a week
	maxNegative    = 3 * time.Hour  // RFC 2308 §5
	maxStale       = 24 * time.Hour // past expiry, while no upstream answers (RFC 8767 §5)
	staleTTL       = 30             // of the records of a stale answer, in seconds
	recheck        = 30 * time.Second
	maxFailures    = 1000            // failed questions; past it all are dropped
	failureLife    = 5 * time.Second // during which a failed question is not asked again (RFC 9520 §3.2)
)

// cacheKey is what an answer depends on.
type cacheKey struct {
	name   string // in lower case
	qtype  uint16
	do, cd bool
}

// cached is an answer with its times.
type cached struct {
	key             cacheKey
	msg             *dns.Msg
	stored, expires time.Time
	// failed is when the upstreams last failed to give a newer one.
	failed time.Time
}

// flight is a question in flight to the upstreams. Its fields are written before done is closed.
type flight struct {
	done chan struct{}
	msg  *dns.Msg
	err  error
}

// failure is a question for which the upstreams failed or refused to answer.
type failure struct {
	msg   *dns.Msg
	err   error
	until time.Time
}

// answerCache keeps the answers of the upstream resolvers for as long as their TTLs allow, and longer while no upstream
// answers. A question that is already in flight, or has just failed, is not sent a second time.
type answerCache struct {
	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	recent  *list.List // of *cached, the most recently used in front
	flights map[cacheKey]*flight
	// failures are of questions that have no entry.
	failures map[cacheKey]failure
}

func newAnswerCache() *answerCache {
	return &answerCache{
		entries: make(map[cacheKey]*list.Element), recent: list.New(), flights: make(map[cacheKey]*flight),
		failures: make(map[cacheKey]failure),
	}
}

// cacheResult is the origin of an answer.
type cacheResult uint8

const (
	cacheMiss cacheResult = iota
	cacheHit
	cacheShared
	cacheStale
	cacheFailed
	cacheResults
)

// get returns the answer to a question: a kept one, that of a flight under way, or what fetch returns. The caller may
// change the message.
func (c *answerCache) get(ctx context.Context, key cacheKey, fetch func() (*dns.Msg, error)) (*dns.Msg, cacheResult, error) {
	key.name = strings.ToLower(key.name)
	c.mu.Lock()
	old := c.find(key)
	now := time.Now()
	switch failed, ok := c.failures[key]; {
	case old == nil && ok && now.Before(failed.until):
		defer c.mu.Unlock()
		return failed.copied(), cacheFailed, failed.err
	case old == nil:
	case now.Before(old.expires):
		defer c.mu.Unlock()
		return old.aged(now), cacheHit, nil
	case now.Sub(old.failed) < recheck:
		defer c.mu.Unlock()
		return old.stale(), cacheStale, nil
	}
	if f, ok := c.flights[key]; ok {
		c.mu.Unlock()
		return c.join(ctx, f)
	}
	f := &flight{done: make(chan struct{})}
	c.flights[key] = f
	c.mu.Unlock()
	return c.fly(ctx, key, f, fetch)
}

// join waits for a flight that another query started.
func (c *answerCache) join(ctx context.Context, f *flight) (*dns.Msg, cacheResult, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, cacheShared, ctx.Err()
	}
	if f.err != nil {
		return nil, cacheShared, f.err
	}
	return f.msg.Copy(), cacheShared, nil
}

// fly asks the question, keeps the answer, and hands it to the queries that have joined.
func (c *answerCache) fly(ctx context.Context, key cacheKey, f *flight, fetch func() (*dns.Msg, error)) (*dns.Msg, cacheResult, error) {
	result := cacheMiss
	f.msg, f.err = fetch()
	c.mu.Lock()
	now := time.Now()
	if c.flights[key] != f { // the resolvers have been replaced meanwhile: what theirs said holds for those that have waited for it
		c.mu.Unlock()
		close(f.done)
		if f.err != nil {
			return nil, result, f.err
		}
		return f.msg.Copy(), result, nil
	}
	if old := c.find(key); old != nil && (f.err != nil || unhelpful(f.msg.Rcode)) {
		old.failed = now
		f.msg, f.err, result = old.stale(), nil, cacheStale
	} else if f.err != nil || unhelpful(f.msg.Rcode) {
		c.fail(ctx, key, failure{msg: f.msg, err: f.err, until: now.Add(failureLife)})
	} else {
		c.keep(key, f.msg, now)
	}
	delete(c.flights, key)
	c.mu.Unlock()
	close(f.done)
	if f.err != nil {
		return nil, result, f.err
	}
	return f.msg.Copy(), result, nil
}

// renew forgets what the former resolvers denied or failed to answer, and has their answers asked for again: others may know more, or
// have another view. The answers are kept for the case that the new resolvers do not answer. Questions in flight end as they began.
func (c *answerCache) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	clear(c.failures)
	c.flights = make(map[cacheKey]*flight)
	for _, element := range c.entries {
		switch old := element.Value.(*cached); {
		case old.denies():
			c.remove(element)
		case now.Before(old.expires):
			old.expires, old.failed = now, time.Time{}
		default:
			old.failed = time.Time{}
		}
	}
}

// denies reports whether an answer says that there is no such name, or no record of the type.
func (c *cached) denies() bool { return c.msg.Rcode != dns.RcodeSuccess || len(c.msg.Answer) == 0 }

// fail keeps a failure, unless the context has ended: then the client gave up, and the question did not fail. It is
// called with mu held.
func (c *answerCache) fail(ctx context.Context, key cacheKey, failed failure) {
	if ctx.Err() != nil {
		return
	}
	if len(c.failures) >= maxFailures {
		clear(c.failures)
	}
	failed.msg = failed.copied()
	c.failures[key] = failed
}

// copied returns a copy of the reply, which is nil where there was none.
func (f *failure) copied() *dns.Msg {
	if f.msg == nil {
		return nil
	}
	return f.msg.Copy()
}

// find returns the kept answer, even if it has expired but may still be given as stale. It is called with mu held.
func (c *answerCache) find(key cacheKey) *cached {
	element, ok := c.entries[key]
	if !ok {
		return nil
	}
	old := element.Value.(*cached)
	if time.Since(old.expires) > maxStale {
		c.remove(element)
		return nil
	}
	c.recent.MoveToFront(element)
	return old
}

func (c *answerCache) remove(element *list.Element) {
	c.recent.Remove(element)
	delete(c.entries, element.Value.(*cached).key)
}

// keep stores an answer for as long as it may be kept. It is called with mu held.
func (c *answerCache) keep(key cacheKey, msg *dns.Msg, now time.Time) {
	if element, ok := c.entries[key]; ok {
		c.remove(element)
	}
	delete(c.failures, key)
	life := lifetime(msg, key.qtype)
	if life <= 0 || msg.Len() > maxCachedBytes {
		return
	}
	c.entries[key] = c.recent.PushFront(&cached{key: key, msg: msg.Copy(), stored: now, expires: now.Add(life)})
	if len(c.entries) > maxCached {
		c.remove(c.recent.Back())
	}
}

// lifetime returns how long an answer may be kept: the least TTL of its records or, for a denial, that of the SOA by
// RFC 2308; 0 means not at all.
func lifetime(msg *dns.Msg, qtype uint16) time.Duration {
	if msg.Truncated || msg.Rcode != dns.RcodeSuccess && msg.Rcode != dns.RcodeNameError {
		return 0
	}
	life := maxPositive
	shorten := func(seconds uint32) { life = min(life, time.Duration(seconds)*time.Second) }
	positive := qtype == dns.TypeANY && len(msg.Answer) > 0
	for _, rr := range msg.Answer {
		shorten(rr.Header().Ttl)
		positive = positive || rr.Header().Rrtype == qtype
	}
	if positive && msg.Rcode == dns.RcodeSuccess {
		return life
	}
	for _, rr := range msg.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			shorten(min(soa.Hdr.Ttl, soa.Minttl))
			return min(life, maxNegative)
		}
	}
	return 0
}

// aged returns the answer with its remaining TTLs.
func (c *cached) aged(now time.Time) *dns.Msg {
	age := uint32(now.Sub(c.stored) / time.Second)
	return c.withTTL(func(ttl uint32) uint32 { return ttl - min(age, ttl) })
}

// stale returns the expired answer.
func (c *cached) stale() *dns.Msg {
	return c.withTTL(func(uint32) uint32 { return staleTTL })
}

func (c *cached) withTTL(change func(uint32) uint32) *dns.Msg {
	msg := c.msg.Copy()
	for _, section := range [][]dns.RR{msg.Answer, msg.Ns, msg.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT { // the TTL of OPT holds other data
				rr.Header().Ttl = change(rr.Header().Ttl)
			}
		}
	}
	return msg
}
