package daemon

import (
	"net/netip"
	"strings"
)

// openings are the addresses of the listeners, and the rights of their clients.
type openings struct {
	// http is invalid if there is no HTTP listener.
	http netip.AddrPort
	dns  []netip.AddrPort
	// scripts and profile report whether HTTP clients may run commands on this host, and read profiles of the process.
	scripts, profile bool
	// passes describes the clients for which DNS resolves names of other domains; empty if there are none.
	passes string
}

// openings returns the open listeners once they are bound.
func (d *Daemon) openings() (o openings) {
	if d.http != nil {
		o.http, _ = netip.ParseAddrPort(d.http.Addr().String())
	}
	if d.dns != nil {
		o.dns, o.passes = d.dns.Addrs(), d.dns.Passes()
	}
	o.scripts, o.profile = d.cfg.EnableScriptChecks, d.cfg.Profile
	return o
}

// reached reports whether other hosts may reach an address.
func reached(at netip.AddrPort) bool { return at.IsValid() && !at.Addr().Unmap().IsLoopback() }

// attrs returns the listeners that other hosts may reach and the rights of their clients, as attributes for the log;
// nil if there are none.
func (o openings) attrs() (attrs []any) {
	if reached(o.http) {
		may := "read, register and deregister everything"
		if o.scripts {
			may += ", run commands on this host"
		}
		if o.profile {
			may += ", read profiles of the process"
		}
		attrs = append(attrs, "http", o.http.String(), "http_clients_may", may)
	}
	var dns []string
	for _, at := range o.dns {
		if reached(at) {
			dns = append(dns, at.String())
		}
	}
	if len(dns) > 0 {
		may := "resolve the names of the catalog"
		if o.passes != "" {
			may += "; other names are resolved for " + o.passes
		}
		attrs = append(attrs, "dns", strings.Join(dns, ","), "dns_clients_may", may)
	}
	return attrs
}

// warnOpen logs, in one line at the start, the listeners that other hosts may reach. None of them authenticates its clients.
func (d *Daemon) warnOpen() {
	if attrs := d.openings().attrs(); attrs != nil {
		d.cfg.Logger.Warn("other hosts reach these listeners, without authentication: keep them on loopback or in a network that you trust",
			attrs...)
	}
}
