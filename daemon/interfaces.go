package daemon

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

// readInterfaces is the time between two reads of this host's interfaces.
const readInterfaces = 2 * time.Second

// followInterfaces tells the View this host's interfaces, now and whenever they have changed, until ctx ends: a query from any
// of their addresses comes from the host itself.
func (d *Daemon) followInterfaces(ctx context.Context) error {
	for last := (*catalog.Interfaces)(nil); ; {
		if now := interfaces(); now != nil && (last == nil || !sameInterfaces(last, now)) {
			d.view.SetInterfaces(now)
			last = now
		}
		if !pause.For(ctx, readInterfaces) {
			return nil
		}
	}
}

// interfaces returns the interfaces of this host; nil if they cannot be read.
func interfaces() *catalog.Interfaces {
	links, err := net.Interfaces()
	if err != nil {
		return nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	i := &catalog.Interfaces{Names: make(map[string]string, len(links))}
	for _, link := range links {
		i.Names[strconv.Itoa(link.Index)] = link.Name
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			i.Addresses = append(i.Addresses, prefix.Addr().Unmap())
		}
	}
	return i
}

func sameInterfaces(a, b *catalog.Interfaces) bool {
	return slices.Equal(a.Addresses, b.Addresses) && maps.Equal(a.Names, b.Names)
}
