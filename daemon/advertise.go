package daemon

import "net/netip"

// warnAdvertise logs at the start if others are given a loopback address for what this host publishes.
func (d *Daemon) warnAdvertise() {
	var open []netip.AddrPort
	if d.http != nil {
		at, _ := netip.ParseAddrPort(d.http.Addr().String())
		open = append(open, at)
	}
	if d.dns != nil {
		open = append(open, d.dns.Addr())
	}
	if why := uselessAdvertise(d.cfg, open); why != "" {
		d.cfg.Logger.Warn("others are told to find the published ports of this host at a loopback address, which is their own: "+
			"name this host's address with --advertise", "advertise", d.cfg.Advertise, "others", why)
	}
}

// uselessAdvertise says who the others are that are given a loopback address; it is empty if there are none, or if they are
// given another one.
func uselessAdvertise(cfg Config, listeners []netip.AddrPort) string {
	if !cfg.Advertise.Unmap().IsLoopback() {
		return ""
	}
	for _, at := range listeners {
		if at.IsValid() && !at.Addr().Unmap().IsLoopback() {
			return "clients of " + at.String()
		}
	}
	if cfg.storeElsewhere() {
		return "the hosts that share the store"
	}
	return ""
}
