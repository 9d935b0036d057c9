package docker

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// maxStopped bounds the containers that are looked at although they do not run: the engine lists the latest first.
const maxStopped = 1024

// census is what is known of all containers of the engine, running or stopped, registered or not. Like the tracker it does
// no I/O, and only one goroutine uses it.
type census struct {
	residents map[string]catalog.Resident
	// changed is set if the residents have changed since they were taken.
	changed bool
}

func newCensus() census { return census{residents: make(map[string]catalog.Resident), changed: true} }

// note takes in the engine's answer about a container.
func (n *census) note(c *container.InspectResponse, now time.Time) {
	if c.Config == nil || c.HostConfig == nil || c.State == nil {
		return
	}
	before, known := n.residents[c.ID]
	r := residentOf(c)
	if !running(c) {
		r.Left = leftAt(c, before.Left, now)
		for i := range r.Addresses {
			r.Addresses[i].IP = catalog.Address{}.IP
		}
	}
	if known && sameResident(&before, &r) || !known && len(n.residents) >= maxChanged {
		return
	}
	n.residents[c.ID] = r
	n.changed = true
}

// residentOf describes a container. Its addresses include those of networks on which it has no IP while it is stopped.
func residentOf(c *container.InspectResponse) catalog.Resident {
	r := catalog.Resident{ID: c.ID}
	r.Project, _ = project(c)
	r.Names = namesOn(c, "", nil)
	if c.NetworkSettings == nil {
		return r
	}
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		endpoint := c.NetworkSettings.Networks[name]
		if endpoint == nil || endpoint.NetworkID == "" {
			continue
		}
		a := catalog.Address{Network: name, NetworkID: endpoint.NetworkID, Names: namesOn(c, name, endpoint), IP: endpoint.IPAddress}
		r.Addresses = append(r.Addresses, a)
		if a.IP = endpoint.GlobalIPv6Address; a.IP.IsValid() {
			r.Addresses = append(r.Addresses, a)
		}
		for _, alias := range a.Names {
			if !slices.ContainsFunc(r.Names, func(n string) bool { return strings.EqualFold(n, alias) }) {
				r.Names = append(r.Names, alias)
			}
		}
	}
	return r
}

// leftAt returns the time at which a container that is not running has ended.
func leftAt(c *container.InspectResponse, before, now time.Time) time.Time {
	if end, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt); err == nil && end.Year() > 1 && end.Before(now) {
		return end
	}
	if !before.IsZero() {
		return before
	}
	return now
}

func sameResident(a, b *catalog.Resident) bool {
	return a.Project == b.Project && a.Left.Equal(b.Left) && slices.Equal(a.Names, b.Names) &&
		slices.EqualFunc(a.Addresses, b.Addresses, catalog.Address.Equal)
}

// died records that a container's process has ended. Its addresses are free from then on: the engine may give them to the
// next container before it is looked at again.
func (n *census) died(id string, at time.Time) {
	r, ok := n.residents[id]
	if !ok || !r.Left.IsZero() {
		return
	}
	r.Left = at
	n.residents[id] = r
	n.changed = true
}

// gone forgets a container that no longer exists. The catalog remembers the names of those that were registered.
func (n *census) gone(id string) {
	if _, ok := n.residents[id]; ok {
		delete(n.residents, id)
		n.changed = true
	}
}

// take returns the residents by ID, and whether they have changed since the last call.
func (n *census) take() (list []catalog.Resident, changed bool) {
	if !n.changed {
		return nil, false
	}
	n.changed = false
	list = make([]catalog.Resident, 0, len(n.residents))
	for _, id := range slices.Sorted(maps.Keys(n.residents)) {
		list = append(list, n.residents[id])
	}
	return list, true
}
