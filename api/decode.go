package api

import (
	"fmt"
	"net/netip"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// decodeRegistration decodes the declaration of one instance.
func decodeRegistration(body []byte, node, id string) (catalog.Registration, error) {
	var d client.Declaration
	if err := decodeStrict(body, &d); err != nil {
		return catalog.Registration{}, err
	}
	if d.ID != "" && d.ID != id {
		return catalog.Registration{}, catalog.Errorf(catalog.KindInvalid, "the body is about instance %.300q, the path about %.300q", d.ID, id)
	}
	d.ID = id
	noun := fmt.Sprintf("instance %.300s", id)
	if d.Container != "" {
		return catalog.Registration{}, catalog.Errorf(catalog.KindInvalid, "%s names a container", noun).
			WithHint("only instances within a node's whole state have one")
	}
	owner, err := ownerOf(noun, catalog.OwnerLease, d.TTL, d.Permanent)
	if err != nil {
		return catalog.Registration{}, err
	}
	return registrationOf(&d, node, owner)
}

// ownerOf returns the owner that lives for a ttl or for good. A declaration must have one of the two.
func ownerOf(noun string, kind catalog.OwnerKind, ttl catalog.Duration, permanent bool) (catalog.Owner, error) {
	switch {
	case ttl < 0:
		return catalog.Owner{}, catalog.Errorf(catalog.KindInvalid, "%s has a negative ttl", noun)
	case ttl > 0 && permanent:
		return catalog.Owner{}, catalog.Errorf(catalog.KindInvalid, "%s has a ttl and is permanent", noun).
			WithHint("leave one of the two out")
	case permanent:
		return catalog.Owner{Kind: catalog.OwnerPermanent}, nil
	case ttl > 0:
		return catalog.Owner{Kind: kind, TTL: ttl}, nil
	default:
		return catalog.Owner{}, catalog.Errorf(catalog.KindInvalid, "%s has neither ttl nor permanent", noun).
			WithHint(`add "ttl": "30s" and renew it, or "permanent": true`)
	}
}

// registrationOf puts a declaration into the catalog's form. It checks the numbers that need not fit there; the catalog checks the
// rest.
func registrationOf(d *client.Declaration, node string, owner catalog.Owner) (catalog.Registration, error) {
	noun := fmt.Sprintf("instance %.300s", d.ID)
	if err := catalog.ValidateMinHealthy(noun, int(d.MinHealthy)); err != nil {
		return catalog.Registration{}, err
	}
	limit := 0
	if d.DNSLimit != nil {
		limit = int(*d.DNSLimit)
		if err := catalog.ValidateDNSLimit(noun, limit); err != nil {
			return catalog.Registration{}, err
		}
	}
	r := catalog.Registration{Instance: catalog.Instance{
		ID: d.ID, Node: node, Service: d.Service, Ports: d.Ports, Addresses: d.Addresses, Tags: d.Tags, Meta: d.Meta,
		Weight: d.Weight, MinHealthy: int16(d.MinHealthy), DNSLimit: int16(limit), Locality: d.Locality, Source: d.Source, Owner: owner,
		Drain: d.Drain, Extras: d.Extras,
	}}
	i := &r.Instance
	if i.Source == "" {
		i.Source = "http"
	}
	if d.Port != 0 {
		if len(d.Ports) > 0 {
			return r, catalog.Errorf(catalog.KindInvalid, "instance %.300s has both port and ports", d.ID).
				WithHint("leave one of the two out")
		}
		i.Ports = []catalog.Port{{Number: d.Port}}
	}
	if d.Address != "" {
		if len(d.Addresses) > 0 {
			return r, catalog.Errorf(catalog.KindInvalid, "instance %.300s has both address and addresses", d.ID).
				WithHint("leave one of the two out")
		}
		i.Addresses = []catalog.Address{addressOf(d.Address)}
	}
	r.Checks = checksOf(d.Checks, node, d.ID, d.ID)
	return r, nil
}

// addressOf reads an IP address or, where it is none, a host name, which the catalog validates.
func addressOf(text string) catalog.Address {
	if ip, err := netip.ParseAddr(text); err == nil {
		return catalog.Address{IP: ip}
	}
	return catalog.Address{Host: text}
}

// checksOf puts declared checks into the catalog's form. Those without an ID get the prefix and their place in the list.
func checksOf(declared []client.CheckDeclaration, node, instance, prefix string) []catalog.Check {
	var list []catalog.Check
	for n := range declared {
		d := &declared[n]
		c := catalog.Check{
			ID: d.ID, Node: node, Instance: instance, Name: d.Name, Definition: d.Definition,
			Status: d.Status, Output: d.Output,
		}
		if c.ID == "" {
			c.ID = fmt.Sprintf("%s:%d", prefix, n+1)
		}
		c.InferType()
		list = append(list, c)
	}
	return list
}

// decodeNode decodes the declaration of a node's whole state.
func decodeNode(body []byte, name string) (catalog.NodeState, error) {
	var d client.NodeDeclaration
	if err := decodeStrict(body, &d); err != nil {
		return catalog.NodeState{}, err
	}
	if d.Name != "" && d.Name != name {
		return catalog.NodeState{}, catalog.Errorf(catalog.KindInvalid, "the body is about node %.100q, the path about %.100q", d.Name, name)
	}
	owner, err := ownerOf(fmt.Sprintf("node %.100s", name), catalog.OwnerSession, d.TTL, d.Permanent)
	if err != nil {
		return catalog.NodeState{}, err
	}
	state := catalog.NodeState{
		Node: catalog.Node{
			Name: name, ID: d.ID, Addresses: d.Addresses, Meta: d.Meta, Locality: d.Locality, Owner: owner,
			PurgeAfter: d.PurgeAfter,
		},
		Checks: checksOf(d.Checks, name, "", name),
	}
	for i := range d.Instances {
		registration, err := memberOf(&d.Instances[i], name)
		if err != nil {
			return catalog.NodeState{}, err
		}
		state.Registrations = append(state.Registrations, registration)
	}
	return state, nil
}

// memberOf puts an instance within a node's state into the catalog's form.
func memberOf(d *client.Declaration, node string) (catalog.Registration, error) {
	if d.TTL != 0 || d.Permanent {
		return catalog.Registration{}, catalog.Errorf(catalog.KindInvalid, "instance %.300s has a ttl or is permanent", d.ID).
			WithHint("within a node's state it lives with its node: register it by itself instead")
	}
	owner := catalog.Owner{Kind: catalog.OwnerSession}
	if d.Container != "" {
		owner = catalog.Owner{Kind: catalog.OwnerContainer, ID: d.Container}
	}
	return registrationOf(d, node, owner)
}
