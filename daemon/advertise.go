package daemon

import (
	"net/netip"
	"slices"
)

// warnAdvertise logs at the start if other hosts are given a loopback address for what this host publishes.
func (d *Daemon) warnAdvertise() {
	if given := givenLoopback(d.cfg, d.openings()); given != "" {
		d.cfg.Logger.Warn("other hosts are told to find the published ports of this host at a loopback address, which is their own: "+
			"name this host's address with --advertise", "advertise", d.cfg.Advertise, "told", given)
	}
}

// givenLoopback names the others that are given a loopback address for this host; it is empty if there are none, or if they
// are given another address.
func givenLoopback(cfg Config, o openings) string {
	if !cfg.Advertise.Unmap().IsLoopback() {
		return ""
	}
	listeners := append([]netip.AddrPort{o.http}, o.dns...)
	if i := slices.IndexFunc(listeners, reached); i >= 0 {
		return "clients of " + listeners[i].String()
	}
	if cfg.storeElsewhere() {
		return "hosts that share the store"
	}
	return ""
}
