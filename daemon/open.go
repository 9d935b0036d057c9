package daemon

import (
	"net/netip"
	"strings"
)

// openings are the addresses that the listeners are bound to, and what clients may do there.
type openings struct {
	// http is invalid if there is no HTTP listener.
	http netip.AddrPort
	dns  []netip.AddrPort
	// scripts and profile say whether clients of HTTP may run commands on this host, and read profiles of the process.
	scripts, profile bool
	// passes says whose queries for names of other domains DNS passes on; empty if nobody's.
	passes string
}

// openings returns what is open once the listeners are bound.
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

// reached reports whether others than this host reach an address.
func reached(at netip.AddrPort) bool { return at.IsValid() && !at.Addr().Unmap().IsLoopback() }

// attrs returns each listener that others reach, with what it lets them do, as attributes for the log. It is nil if they
// reach none.
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

// warnOpen logs, in one line at the start, which listeners others than this host reach: none of them asks who comes.
func (d *Daemon) warnOpen() {
	if attrs := d.openings().attrs(); attrs != nil {
		d.cfg.Logger.Warn("others reach these listeners, without authentication: keep them on loopback or in a network that you trust",
			attrs...)
	}
}
