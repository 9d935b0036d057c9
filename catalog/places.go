package catalog

// places finds the places of nodes and instances without visiting these.
type places struct {
	// named is the published part: the names of zones and of regions.
	named *shardMap[placeName, namedPlace]
	// The other fields belong to the writer. A place counts the nodes in it, and the instances with a place of their
	// own; a region counts its places, and a zone's name has the regions with a zone of that name.
	count   map[Locality]int
	regions map[string]int
	zones   map[string]map[string]bool
}

// placeName is the name of a region, or of a zone.
type placeName struct {
	region bool
	name   string
}

// namedPlace is the place of a zone's name; several regions may have a zone of that name.
type namedPlace struct {
	at      Locality
	several bool
}

func newPlaces() places {
	return places{
		named: newShardMap[placeName, namedPlace](fewShards),
		count: make(map[Locality]int), regions: make(map[string]int), zones: make(map[string]map[string]bool),
	}
}

// update changes the counts of some places.
func (p *places) update(moved map[Locality]int) {
	var changed []placeName
	for at, by := range moved {
		before := p.count[at]
		p.count[at] = before + by
		switch {
		case before == 0 && by > 0:
			p.appear(at)
		case before > 0 && before+by == 0:
			p.vanish(at)
		default:
			continue
		}
		changed = append(changed, placeName{name: at.Zone}, placeName{region: true, name: at.Region})
	}
	p.publish(changed)
}

func (p *places) appear(at Locality) {
	p.regions[at.Region]++
	if p.zones[at.Zone] == nil {
		p.zones[at.Zone] = make(map[string]bool)
	}
	p.zones[at.Zone][at.Region] = true
}

func (p *places) vanish(at Locality) {
	delete(p.count, at)
	if p.regions[at.Region]--; p.regions[at.Region] == 0 {
		delete(p.regions, at.Region)
	}
	if delete(p.zones[at.Zone], at.Region); len(p.zones[at.Zone]) == 0 {
		delete(p.zones, at.Zone)
	}
}

// publish shows readers the current meaning of some names.
func (p *places) publish(names []placeName) {
	if len(names) == 0 {
		return
	}
	put := make(map[placeName]namedPlace)
	var gone []placeName
	for _, name := range names {
		if place, ok := p.find(name); ok {
			put[name] = place
		} else {
			gone = append(gone, name)
		}
	}
	p.named.update(put, gone)
}

func (p *places) find(n placeName) (place namedPlace, ok bool) {
	if n.region {
		return namedPlace{at: Locality{Region: n.name}}, n.name != "" && p.regions[n.name] > 0
	}
	for region := range p.zones[n.name] {
		return namedPlace{Locality{region, n.name}, len(p.zones[n.name]) > 1}, n.name != ""
	}
	return namedPlace{}, false
}
