package dns

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sort"
	"sync"

	"github.com/miekg/dns"

	"github.com/koine-sd/koine/catalog"
)

// record is one record ready to be written. Its owner is the name in the question.
type record struct {
	// rdata is the data in wire form, with uncompressed names.
	rdata []byte
	// below reports whether the zone's address suffix follows rdata: rdata ends in the first label of an address's
	// name.
	below bool
	// weight is the share of clients that it is for, at least 1.
	weight uint32
	// tier is how near the instance is; nearer records come first. It is 0 if nearness was not asked for.
	tier catalog.Tier
	// hash is that of rdata: the same in every snapshot.
	hash uint32
	// glue are the addresses of the name in rdata, for the ADDITIONAL section.
	glue []netip.Addr
}

// recordSet is records of one type for one name. It is immutable.
type recordSet struct {
	rtype   uint16
	records []record
	// sums are the running sums of the weights; nil if all weights are alike.
	sums []uint64
	// smallest is the size of the smallest record's data.
	smallest int
	// below reports whether all records are below.
	below bool
	// tiered reports whether the tiers differ.
	tiered bool
	// shared reports whether some addresses are the glue of several records.
	shared bool
	// ordered has the records by tier and hash; see ring.
	ordered struct {
		once sync.Once
		list []int32
	}
}

// ring returns the records by tier and hash. It is made when it is first asked for: few answers are cut.
func (s *recordSet) ring() []int32 {
	s.ordered.once.Do(func() {
		list := make([]int32, len(s.records))
		for i := range list {
			list[i] = int32(i)
		}
		slices.SortFunc(list, func(a, b int32) int {
			x, y := &s.records[a], &s.records[b]
			return cmp.Or(cmp.Compare(x.tier, y.tier), cmp.Compare(x.hash, y.hash), bytes.Compare(x.rdata, y.rdata))
		})
		s.ordered.list = list
	})
	return s.ordered.list
}

// newRecordSet makes a set of finished records. It returns nil if there are none.
func newRecordSet(rtype uint16, records []record) *recordSet {
	if len(records) == 0 {
		return nil
	}
	set := &recordSet{rtype: rtype, records: records, smallest: len(records[0].rdata), below: true}
	alike := true
	for i := range records {
		records[i].hash = hashOf(records[i].rdata)
		set.smallest = min(set.smallest, len(records[i].rdata))
		set.below = set.below && records[i].below
		set.tiered = set.tiered || records[i].tier != records[0].tier
		alike = alike && records[i].weight == records[0].weight
	}
	if !alike {
		set.sums = make([]uint64, len(records))
		var sum uint64
		for i := range records {
			sum += uint64(records[i].weight)
			set.sums[i] = sum
		}
	}
	set.shared = sharedGlue(records)
	return set
}

// hashOf returns the hash FNV-1a of some bytes.
func hashOf(data []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(data)
	return h.Sum32()
}

func sharedGlue(records []record) bool {
	seen := make(map[netip.Addr]struct{})
	for i := range records {
		for _, addr := range records[i].glue {
			if _, ok := seen[addr]; ok {
				return true
			}
			seen[addr] = struct{}{}
		}
	}
	return false
}

// draw returns a record's index with the odds of its weight.
func (s *recordSet) draw(rng *rand.Rand) int {
	if s.sums == nil {
		return rng.IntN(len(s.records))
	}
	x := rng.Uint64N(s.sums[len(s.sums)-1])
	return sort.Search(len(s.sums), func(i int) bool { return s.sums[i] > x })
}

// glueOffset is the offset in a record's data of the name that the glue is for.
func (s *recordSet) glueOffset() int {
	if s.rtype == dns.TypeSRV {
		return 6
	}
	return 0
}

// setBuilder collects the records of a set; a record added twice becomes one with both weights (RFC 2181 §5).
type setBuilder struct {
	records []record
	at      map[string]int
}

// add keeps rdata.
func (b *setBuilder) add(r record) {
	key := string(r.rdata)
	if i, ok := b.at[key]; ok {
		b.records[i].weight = min(b.records[i].weight+r.weight, catalog.MaxWeight)
		return
	}
	if b.at == nil {
		b.at = make(map[string]int)
	}
	b.at[key] = len(b.records)
	b.records = append(b.records, r)
}

// srvPriority is the priority of all SRV records if nearness was not asked for.
const srvPriority = 1

// addSRV adds a record for a port at an address or, if that is not valid, at a host. The weight is left to finishSRV.
func (b *setBuilder) addSRV(at target, port uint16, r record, priority uint8) {
	rdata := make([]byte, 6, 48)
	rdata[1] = priority
	binary.BigEndian.PutUint16(rdata[4:], port)
	switch {
	case at.first.IsValid():
		r.rdata, r.below, r.glue = appendHexLabel(rdata, at.first), true, []netip.Addr{at.first}
	case at.host != nil:
		rdata = append(rdata, at.host...)
		r.rdata = rdata
	default:
		return
	}
	b.add(r)
}

// finishSRV writes the weights, which may have grown with duplicate records, into the records' data.
func (b *setBuilder) finishSRV() *recordSet {
	for i := range b.records {
		binary.BigEndian.PutUint16(b.records[i].rdata[2:], uint16(b.records[i].weight))
	}
	return newRecordSet(dns.TypeSRV, b.records)
}

func appendHexLabel(b []byte, addr netip.Addr) []byte {
	const digits = "0123456789abcdef"
	raw := addr.AsSlice()
	b = append(b, byte(2*len(raw)))
	for _, c := range raw {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
}

// target is how to reach an instance or a node.
type target struct {
	// first is the preferred address; v4 and v6 are the preferred ones of each family. Any may be invalid.
	first, v4, v6 netip.Addr
	// host is a host name in wire form, for an instance or node without an address; or nil.
	host []byte
}

// targetOf picks, from the addresses at which a client reaches an instance or a node, those to answer with: on the
// network of the first one, the first of each family.
func targetOf(addresses []catalog.Address) (r target) {
	if len(addresses) == 0 {
		return r
	}
	preferred := addresses[0]
	for _, a := range addresses {
		if a.Network != preferred.Network || a.NetworkID != preferred.NetworkID {
			continue
		}
		ip := a.IP.Unmap().WithZone("")
		switch {
		case ip.Is4() && !r.v4.IsValid():
			r.v4 = ip
		case ip.Is6() && !r.v6.IsValid():
			r.v6 = ip
		}
		if !r.first.IsValid() {
			r.first = ip
		}
	}
	if !r.first.IsValid() {
		r.host = firstHost(addresses, preferred)
	}
	return r
}

// firstHost returns the first host name on the preferred network that can stand in a message, or nil.
func firstHost(addresses []catalog.Address, preferred catalog.Address) []byte {
	for _, a := range addresses {
		if a.Host == "" || a.Network != preferred.Network || a.NetworkID != preferred.NetworkID {
			continue
		}
		if wire, err := wireName(a.Host); err == nil {
			return wire
		}
	}
	return nil
}

// addressSets is a name's answers to questions for addresses: A and AAAA, or CNAME if it has neither.
type addressSets struct {
	v4, v6, cname *recordSet
	// hosts are the host names of instances without an address, in wire form, if others have addresses.
	hosts []record
}

// addressBuilder collects addressSets.
type addressBuilder struct{ v4, v6, cname setBuilder }

func (b *addressBuilder) add(at target, weight uint16) {
	if at.v4.IsValid() {
		b.v4.add(record{rdata: at.v4.AsSlice(), weight: uint32(weight)})
	}
	if at.v6.IsValid() {
		b.v6.add(record{rdata: at.v6.AsSlice(), weight: uint32(weight)})
	}
	if at.host != nil {
		b.cname.add(record{rdata: at.host, weight: uint32(weight)})
	}
}

func (b *addressBuilder) build() addressSets {
	sets := addressSets{
		v4: newRecordSet(dns.TypeA, b.v4.records),
		v6: newRecordSet(dns.TypeAAAA, b.v6.records),
	}
	if sets.v4 == nil && sets.v6 == nil {
		sets.cname = newRecordSet(dns.TypeCNAME, b.cname.records)
	} else {
		sets.hosts = b.cname.records
	}
	return sets
}

// hostsFor returns the host names whose addresses are missing from the answer to a type.
func (s *addressSets) hostsFor(qtype uint16) []record {
	if qtype == dns.TypeA || qtype == dns.TypeAAAA {
		return s.hosts
	}
	return nil
}

// find returns the set that answers a type; nil if no set does.
func (s *addressSets) find(qtype uint16) *recordSet {
	switch {
	case qtype == dns.TypeA && s.v4 != nil:
		return s.v4
	case qtype == dns.TypeAAAA && s.v6 != nil:
		return s.v6
	case qtype == dns.TypeA, qtype == dns.TypeAAAA, qtype == dns.TypeCNAME:
		return s.cname
	case qtype == dns.TypeANY:
		return cmp.Or(s.v4, s.v6, s.cname)
	default:
		return nil
	}
}
