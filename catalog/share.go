package catalog

import (
	"maps"
	"slices"
)

// share makes a new record of an instance hold the values that equal those of one that the View already holds: its own
// former record, or another of the service. Replicas differ in little, and a decoder makes a separate copy of all.
func (v *View) share(b *batch, n *nodeState, i *Instance) {
	if i.Node == n.name {
		i.Node = n.name
	}
	if state, ok := n.instances[i.ID]; ok && state.next != nil {
		i.shareWith(state.next.Instance)
		return
	}
	service := fold(i.Service)
	if s := v.Service(service); s != nil && len(s.Endpoints) > 0 {
		i.shareWith(s.Endpoints[0].Instance)
	} else if eldest, ok := b.eldest[service]; ok {
		i.shareWith(eldest)
	} else {
		b.eldest[service] = i
	}
}

// shareWith replaces the values that equal those of another instance by that instance's. The content of both stays the
// same.
func (i *Instance) shareWith(o *Instance) {
	shareText(&i.ID, o.ID)
	shareText(&i.Service, o.Service)
	shareText(&i.Source, o.Source)
	shareText((*string)(&i.Owner.Kind), string(o.Owner.Kind))
	shareText(&i.Owner.ID, o.Owner.ID)
	shareText(&i.Locality.Region, o.Locality.Region)
	shareText(&i.Locality.Zone, o.Locality.Zone)
	if i.Origin.same(o.Origin) {
		i.Origin = o.Origin
	}
	if len(i.Ports) > 0 && slices.EqualFunc(i.Ports, o.Ports, Port.Equal) {
		i.Ports = o.Ports
	}
	if len(i.Tags) > 0 && slices.Equal(i.Tags, o.Tags) {
		i.Tags = o.Tags
	}
	if len(i.Meta) > 0 && maps.Equal(i.Meta, o.Meta) {
		i.Meta = o.Meta
	}
	if len(i.Addresses) > 0 && slices.EqualFunc(i.Addresses, o.Addresses, Address.Equal) {
		i.Addresses = o.Addresses
		return
	}
	for n := range min(len(i.Addresses), len(o.Addresses)) {
		shareText(&i.Addresses[n].Network, o.Addresses[n].Network)
		shareText(&i.Addresses[n].NetworkID, o.Addresses[n].NetworkID)
	}
}

func shareText(text *string, with string) {
	if *text == with {
		*text = with
	}
}
