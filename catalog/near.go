package catalog

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Tier ranks instances by their nearness to a client.
type Tier uint8

// The tiers, from near to far.
const (
	SameZone Tier = iota
	SameRegion
	Anywhere
)

// TierOf returns the tier of another place. A zone's name counts within its region only: both must match. An empty
// zone or region matches nothing.
func (l Locality) TierOf(other Locality) Tier {
	switch {
	case l.Zone != "" && l == other:
		return SameZone
	case l.Region != "" && l.Region == other.Region:
		return SameRegion
	default:
		return Anywhere
	}
}

// Place returns the instance's own place or else its node's. An instance that gives a zone alone is in
// its node's region.
func (e *Endpoint) Place() Locality {
	own := e.Instance.Locality
	if own.Region != "" || e.Host == nil || e.Host.Node == nil {
		return own
	}
	if own.Zone == "" {
		return e.Host.Node.Locality
	}
	return Locality{Region: e.Host.Node.Locality.Region, Zone: own.Zone}
}

// Nearest sorts a query's endpoints by tier, in the snapshot's order within each, and returns the number of the first to
// use: the smallest tier that suffices of the client's zone, its region, and all. A tier suffices if, together with the
// nearer ones, it has a healthy instance and at least the floor's share of healthy ones among those that take traffic.
// Below the floor of the whole service all are used.
//
// Only instances that counts accepts are considered, such as those that the client reaches; nil accepts all.
func (s *Service) Nearest(q Query, at Locality, counts func(*Endpoint) bool) (list []*Endpoint, enough int) {
	list = slices.Clone(s.Select(q))
	tier := func(e *Endpoint) Tier { return at.TierOf(e.Place()) }
	slices.SortStableFunc(list, func(a, b *Endpoint) int { return cmp.Compare(tier(a), tier(b)) })
	does := s.smallestTier(&q, at, counts)
	for enough < len(list) && tier(list[enough]) <= does {
		enough++
	}
	return list, enough
}

// smallestTier returns the first tier that suffices.
func (s *Service) smallestTier(q *Query, at Locality, counts func(*Endpoint) bool) Tier {
	if s.BelowFloor {
		return Anywhere
	}
	ofAny := *q
	ofAny.Health = AnyHealth
	var taking, good [Anywhere + 1]int
	floor := 0
	for _, e := range s.Endpoints {
		floor = max(floor, int(e.MinHealthy))
		if e.Drained != "" || !ofAny.wants(e) || counts != nil && !counts(e) {
			continue
		}
		tier := at.TierOf(e.Place())
		taking[tier]++
		if e.Healthy() && q.wants(e) {
			good[tier]++
		}
	}
	if suffices(good[SameZone], taking[SameZone], floor) {
		return SameZone
	}
	if suffices(good[SameZone]+good[SameRegion], taking[SameZone]+taking[SameRegion], floor) {
		return SameRegion
	}
	return Anywhere
}

func suffices(good, taking, floor int) bool { return good > 0 && good*100 >= floor*taking }

// PlaceOf returns the place of a client, going by its source address as seen on a node: the place of the container on
// the node or, for every other client, that of the node.
func (v *View) PlaceOf(node string, ip netip.Addr) Locality {
	on, _ := v.nodes.get(fold(node))
	if e := v.containerAt(on, ip.Unmap().WithZone("")); e != nil {
		return e.Place()
	}
	return v.placeOfNode(node)
}

func (v *View) placeOfNode(name string) Locality {
	if node := v.Node(name); node != nil && node.Node != nil {
		return node.Node.Locality
	}
	return Locality{}
}

// PlaceNamed returns the place that a text names: REGION/ZONE, an IP address of an instance or a node, a node, a zone,
// or the ID of an instance; the first of these that exists, in this order. It returns an error of KindNotFound if none
// does, and of KindInvalid for a zone's name that several regions have.
func (v *View) PlaceNamed(text string) (Locality, error) {
	if region, zone, ok := strings.Cut(text, "/"); ok {
		return v.placeInRegion(Locality{Region: region, Zone: zone})
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return v.placeAt(ip.Unmap().WithZone(""))
	}
	if node := v.Node(text); node != nil {
		return v.placeOfNode(text), nil
	}
	if at, ok, err := v.zone(text); ok || err != nil {
		return at, err
	}
	for e := range v.ByID(text) {
		return e.Place(), nil
	}
	return Locality{}, unknownPlace("no zone, node or instance %.100q", text)
}

func unknownPlace(format string, args ...any) error {
	return Errorf(KindNotFound, format, args...).
		WithHint("name a zone, region/zone, a node, an instance, an IP address of one, or _self for your own place; koine nodes lists the zones")
}

// placeInRegion takes any zone of a known region: nothing need run there.
func (v *View) placeInRegion(at Locality) (Locality, error) {
	if _, ok := v.places.named.get(placeName{region: true, name: at.Region}); ok {
		return at, nil
	}
	return Locality{}, unknownPlace("no region %.100q", at.Region)
}

func (v *View) placeAt(ip netip.Addr) (Locality, error) {
	for e := range v.ByIP(ip) {
		return e.Place(), nil
	}
	for node := range v.nodesByIP.all(ip.As16()) {
		if record := node.snapshot.Load().Node; record != nil {
			return record.Locality, nil
		}
	}
	return Locality{}, unknownPlace("nothing is known to be at %s", ip)
}

// zone returns the place that has a zone's name, and whether there is one.
func (v *View) zone(name string) (at Locality, found bool, err error) {
	place, found := v.places.named.get(placeName{name: name})
	if place.several {
		err = Errorf(KindInvalid, "zone %.100q is in several regions", name).WithHint("write it as region/zone")
	}
	return place.at, found, err
}
