package files

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/koine-sd/koine/catalog"
)

// sourceName is the source of the instances that files declare.
const sourceName = "file"

// declaredService is an instance with its checks as a file declares it.
type declaredService struct {
	catalog.Registration
	line, column int
	// bad reports that it is in error: it does not come into force, but its ID is not free for other services of its
	// file.
	bad bool
}

func (s *declaredService) errorf(format string, args ...any) *problem {
	return problemAt(s.line, s.column, format, args...)
}

// serviceReader collects the parts of an instance until all of its fields are read.
type serviceReader struct {
	*decoder
	instance  catalog.Instance
	port      int
	addresses []catalog.Address
	checks    []declaredCheck
	extras    map[string]json.RawMessage
}

// service reads one service. Its ID is empty if the file has none; see nameServices. With an error it
// returns what could be read.
func (d *decoder) service(n *node) (declaredService, error) {
	r := &serviceReader{decoder: d, extras: make(map[string]json.RawMessage)}
	r.instance.Node, r.instance.Source = d.node, sourceName
	r.instance.Owner.Kind = catalog.OwnerSession
	err := r.schema().read("service", n)
	if err == nil && r.instance.Service == "" {
		err = n.errorf("service has no name")
	}
	if settled := r.settle(); err == nil && settled != nil {
		err = n.errorf("service %s: %v", r.instance.Service, settled)
	}
	s := declaredService{Registration: catalog.Registration{Instance: r.instance}, line: n.line, column: n.column, bad: err != nil}
	for _, c := range r.checks {
		s.Checks = append(s.Checks, c.Check)
	}
	return s, err
}

func (r *serviceReader) schema() schema {
	i := &r.instance
	s := schema{
		"name": setText(&i.Service), "id": setText(&i.ID), "tags": setTexts(&i.Tags), "meta": r.setMeta(),
		"port": setInt(&r.port, math.MaxUint16), "ports": r.setPorts,
		"address": r.setAddress, "addresses": r.setAddresses,
		"min_healthy": setInt(&i.MinHealthy, catalog.MaxMinHealthy), "dns_limit": setWithin(&i.DNSLimit, 1, catalog.MaxDNSLimit),
		"weight": setInt(&i.Weight, catalog.MaxWeight), "weights": r.setWeights,
		"zone": setText(&i.Locality.Zone), "region": setText(&i.Locality.Region), "locality": r.setLocality,
		"check": r.setChecks, "checks": r.setChecks,
		"tagged_addresses": r.keep("tagged_addresses"), "token": r.warn("token"),
	}
	for _, name := range []string{
		"enable_tag_override", "kind", "proxy", "connect", "namespace", "partition", "socket_path",
	} {
		s[name] = r.keepAndWarn(name)
	}
	return s
}

// settle combines the values of several fields.
func (r *serviceReader) settle() error {
	isPort := func(p catalog.Port) bool { return int(p.Number) == r.port }
	if r.port > 0 && !slices.ContainsFunc(r.instance.Ports, isPort) {
		r.instance.Ports = slices.Insert(r.instance.Ports, 0, catalog.Port{Number: uint16(r.port)})
	}
	r.instance.Addresses = r.addresses
	if len(r.extras) > 0 {
		raw, err := json.Marshal(r.extras)
		if err != nil {
			return fmt.Errorf("encode extras: %w", err)
		}
		r.instance.Extras = map[string]json.RawMessage{"consul": raw}
	}
	return nil
}

// keep keeps a field's value in the extras.
func (r *serviceReader) keep(name string) setter {
	return func(v *node) error {
		if v.kind != null {
			r.extras[name] = v.json()
		}
		return nil
	}
}

func (r *serviceReader) keepAndWarn(name string) setter {
	return r.setAndWarn(name, r.keep(name))
}

func (r *serviceReader) setMeta() setter {
	return setMap(func(name string, value *node) error {
		if r.instance.Meta == nil {
			r.instance.Meta = make(map[string]string)
		}
		var content string
		if err := setText(&content)(value); err != nil {
			return err
		}
		r.instance.Meta[name] = content
		return nil
	})
}

// setWeights takes Consul's weights. Its warning weight has no counterpart and is kept with the other extras.
func (r *serviceReader) setWeights(v *node) error {
	if v.kind == null {
		return nil
	}
	var warning int
	s := schema{"passing": setInt(&r.instance.Weight, catalog.MaxWeight), "warning": setInt(&warning, catalog.MaxWeight)}
	if err := s.read("weights", v); err != nil {
		return err
	}
	return r.keep("weights")(v)
}

func (r *serviceReader) setLocality(v *node) error {
	if v.kind == null {
		return nil
	}
	at := &r.instance.Locality
	return schema{"zone": setText(&at.Zone), "region": setText(&at.Region)}.read("locality", v)
}

// setPorts takes a list of ports, each a mapping or a plain number.
func (r *serviceReader) setPorts(v *node) error {
	return eachMapping(v, func(item *node) error {
		port, first, err := readPort(item)
		if err != nil {
			return err
		}
		if first {
			r.instance.Ports = slices.Insert(r.instance.Ports, 0, port)
		} else {
			r.instance.Ports = append(r.instance.Ports, port)
		}
		return nil
	})
}

// readPort reads a port. Consul's default marks the one that clients get by default: the first.
func readPort(n *node) (port catalog.Port, first bool, err error) {
	var number, published int
	if n.kind == object {
		err = schema{
			"name": setText(&port.Name), "protocol": setText(&port.Protocol), "default": setBool(&first),
			"number": setInt(&number, math.MaxUint16), "port": setInt(&number, math.MaxUint16),
			"published": setInt(&published, math.MaxUint16), "bindings": setBindings(&port.Bindings),
		}.read("port", n)
	} else if err = setInt(&number, math.MaxUint16)(n); err != nil {
		err = n.errorf("port %v", err)
	}
	if err == nil && number == 0 {
		err = n.errorf("port has no number")
	}
	port.Number, port.Published = uint16(number), uint16(published)
	return port, first, err
}

// setBindings takes a list of pairs of an address of the host and a port there.
func setBindings(bindings *[]netip.AddrPort) setter {
	return func(v *node) error {
		var list []string
		if err := setTexts(&list)(v); err != nil {
			return err
		}
		for _, text := range list {
			pair, err := netip.ParseAddrPort(text)
			if err != nil {
				return v.errorf("binding %q: write it as 192.0.2.1:8080 or [2001:db8::1]:8080", text)
			}
			*bindings = append(*bindings, pair)
		}
		return nil
	}
}

func (r *serviceReader) setAddress(v *node) error {
	var host string
	if err := setText(&host)(v); err != nil {
		return err
	}
	if host != "" {
		r.addresses = slices.Insert(r.addresses, 0, parseAddress(host))
	}
	return nil
}

func (r *serviceReader) setAddresses(v *node) error {
	return eachMapping(v, func(item *node) error {
		address, err := readAddress(item)
		r.addresses = append(r.addresses, address)
		return err
	})
}

// readAddress reads an address: a mapping with its network, or a plain IP or host name.
func readAddress(n *node) (catalog.Address, error) {
	var host, network string
	if n.kind == object {
		err := schema{
			"network": setText(&network), "ip": setText(&host), "host": setText(&host), "address": setText(&host),
		}.read("address", n)
		if err != nil {
			return catalog.Address{}, err
		}
	} else if err := setText(&host)(n); err != nil {
		return catalog.Address{}, n.errorf("address %v", err)
	}
	if host == "" {
		return catalog.Address{}, n.errorf("address names neither an IP nor a host")
	}
	address := parseAddress(host)
	address.Network = network
	return address, nil
}

func parseAddress(host string) catalog.Address {
	if ip, err := netip.ParseAddr(host); err == nil {
		return catalog.Address{IP: ip.Unmap()}
	}
	return catalog.Address{Host: host}
}

func (r *serviceReader) setCheck(v *node) error {
	c, err := r.check(v)
	if err != nil {
		return err
	}
	if c.service != "" {
		return v.errorf("service_id is for checks outside of a service")
	}
	r.checks = append(r.checks, c)
	return nil
}

func (r *serviceReader) setChecks(v *node) error { return eachMapping(v, r.setCheck) }

// each passes the items of a list to a setter, all of them even if some are refused.
func each(v *node, set setter) error {
	if v.kind == null {
		return nil
	}
	if v.kind != list {
		return fmt.Errorf("must be a list, not %s", v.kind)
	}
	var found problems
	for _, item := range v.items {
		if item.kind == null {
			found = append(found, item.errorf("list has an empty item"))
			continue
		}
		found.add(item.line, item.column, set(item))
	}
	return found.err()
}

// eachMapping passes one mapping, or each of a list of them, to a setter. In HCL a list of one is written as a block,
// and Consul takes one for the other in JSON, too.
func eachMapping(v *node, set setter) error {
	if v.kind == object {
		return set(v)
	}
	return each(v, set)
}
