package daemon

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/koine-sd/koine/engine"
)

// warnAdvertise logs at the start if other hosts get a loopback address for the published ports of this host.
func (d *Daemon) warnAdvertise() {
	if given := givenLoopback(d.cfg, d.openings()); given != "" {
		d.cfg.Logger.Warn("other hosts get a loopback address, which is their own, for the published ports of this host: "+
			"name this host's address with --advertise", "advertise", d.cfg.Advertise, "for", given)
	}
}

// givenLoopback describes the others that get a loopback address for this host; it is empty if there are none, or if
// they get another address.
func givenLoopback(cfg Config, o openings) string {
	if !cfg.Advertise.Unmap().IsLoopback() {
		return ""
	}
	listeners := append([]netip.AddrPort{o.http}, o.dns...)
	if i := slices.IndexFunc(listeners, reached); i >= 0 {
		return "clients of " + listeners[i].String()
	}
	if cfg.storeElsewhere() && !onLoopback(cfg.Engine) {
		return "hosts that share the store"
	}
	return ""
}

// onLoopback reports whether all members of a cluster are on this host's loopback, so that no other host shares it.
func onLoopback(cluster string) bool {
	for member := range strings.SplitSeq(strings.TrimPrefix(cluster, engine.Scheme), ",") {
		host, _, err := net.SplitHostPort(strings.TrimSpace(member))
		if ip, invalid := netip.ParseAddr(host); err != nil || host != "localhost" && (invalid != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
