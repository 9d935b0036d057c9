package client

import (
	"encoding/json"

	"github.com/koine-sd/koine/catalog"
)

// Declaration is one instance as its provider writes it in JSON, alone or within a node's state.
type Declaration struct {
	// ID is that of the path for an instance alone, and may be left out there.
	ID      string `json:"id,omitempty"`
	Service string `json:"service"`
	// Port is short for one unnamed TCP port in Ports.
	Port  uint16         `json:"port,omitempty"`
	Ports []catalog.Port `json:"ports,omitempty"`
	// Address is short for one address in Addresses: an IP address or a host name.
	Address   string            `json:"address,omitempty"`
	Addresses []catalog.Address `json:"addresses,omitempty"`
	Tags      []string          `json:"tags,omitempty"`
	Meta      map[string]string `json:"meta,omitempty"`
	Weight    int32             `json:"weight,omitempty"`
	// MinHealthy is the service's floor in percent: below it clients get all instances that take traffic.
	MinHealthy int32 `json:"min_healthy,omitempty"`
	// DNSLimit is the most addresses, and the most SRV records, in an answer of DNS about the service; nil means as many as there
	// are.
	DNSLimit *int32                     `json:"dns_limit,omitempty"`
	Locality catalog.Locality           `json:"locality,omitzero"`
	Source   string                     `json:"source,omitempty"`
	Drain    string                     `json:"drain,omitempty"`
	Extras   map[string]json.RawMessage `json:"extras,omitempty"`
	Checks   []CheckDeclaration         `json:"checks,omitempty"`

	// TTL is how long the instance lives without a renewal; Permanent means until it is removed. An instance alone has
	// exactly one of them, one within a node's state has neither: it lives with its node.
	TTL       catalog.Duration `json:"ttl,omitzero"`
	Permanent bool             `json:"permanent,omitempty"`
	// Container is the id of the container that owns an instance within a node's state.
	Container string `json:"container,omitempty"`
}

// CheckDeclaration is one check as its provider writes it in JSON.
type CheckDeclaration struct {
	// ID is unique on the node; empty means the instance's ID, a colon and the check's position in the list, from 1.
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	catalog.Definition
	// Status is set if the provider knows the outcome already; empty leaves it to the process that runs the check.
	Status catalog.Status `json:"status,omitempty"`
	Output string         `json:"output,omitempty"`
}

// NodeDeclaration is the whole state of a node as its provider writes it in JSON.
type NodeDeclaration struct {
	// Name is that of the path, and may be left out.
	Name       string             `json:"name,omitempty"`
	ID         string             `json:"id,omitempty"`
	Addresses  []catalog.Address  `json:"addresses,omitempty"`
	Meta       map[string]string  `json:"meta,omitempty"`
	Locality   catalog.Locality   `json:"locality,omitzero"`
	PurgeAfter catalog.Duration   `json:"purge_after,omitzero"`
	Instances  []Declaration      `json:"instances,omitempty"`
	Checks     []CheckDeclaration `json:"checks,omitempty"`

	// Exactly one of TTL, that of the node's session, and Permanent is set.
	TTL       catalog.Duration `json:"ttl,omitzero"`
	Permanent bool             `json:"permanent,omitempty"`
}

// declare converts a registration into its JSON form.
func declare(r *catalog.Registration) Declaration {
	i := &r.Instance
	d := Declaration{
		ID: i.ID, Service: i.Service, Ports: i.Ports, Addresses: i.Addresses, Tags: i.Tags, Meta: i.Meta,
		Weight: i.Weight, MinHealthy: int32(i.MinHealthy), Locality: i.Locality, Source: i.Source, Drain: i.Drain, Extras: i.Extras,
		Checks: declareChecks(r.Checks),
	}
	if i.DNSLimit != 0 {
		d.DNSLimit = new(int32(i.DNSLimit))
	}
	switch i.Owner.Kind {
	case catalog.OwnerLease:
		d.TTL = i.Owner.TTL
	case catalog.OwnerPermanent:
		d.Permanent = true
	case catalog.OwnerContainer:
		d.Container = i.Owner.ID
	}
	return d
}

func declareChecks(checks []catalog.Check) []CheckDeclaration {
	var list []CheckDeclaration
	for i := range checks {
		c := &checks[i]
		list = append(list, CheckDeclaration{
			ID: c.ID, Name: c.Name, Definition: c.Definition, Status: c.Status, Output: c.Output,
		})
	}
	return list
}

func declareNode(s *catalog.NodeState) NodeDeclaration {
	d := NodeDeclaration{
		Name: s.Node.Name, ID: s.Node.ID, Addresses: s.Node.Addresses, Meta: s.Node.Meta, Locality: s.Node.Locality,
		PurgeAfter: s.Node.PurgeAfter, Checks: declareChecks(s.Checks),
		TTL: s.Node.Owner.TTL, Permanent: s.Node.Owner.Kind == catalog.OwnerPermanent,
	}
	for i := range s.Registrations {
		d.Instances = append(d.Instances, declare(&s.Registrations[i]))
	}
	return d
}
