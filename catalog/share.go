package catalog

import (
	"maps"
	"slices"
)

// share has a new record of an instance hold what is equal in one that the View holds already, its own before or another
// of the service: replicas differ in little, and a decoder makes each its own copy of all.
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

// shareWith replaces what is equal in another instance by what that has. Neither looks different afterwards.
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
	if len(i.Ports) > 0 && slices.Equal(i.Ports, o.Ports) {
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
