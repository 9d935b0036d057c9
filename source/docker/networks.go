package docker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/lenient"
)

// networkEngine is an Engine that lists its networks, as *client.Client does.
type networkEngine interface {
	NetworkList(ctx context.Context, options client.NetworkListOptions) (client.NetworkListResult, error)
	NetworkInspect(ctx context.Context, id string, options client.NetworkInspectOptions) (client.NetworkInspectResult, error)
}

// networks are the engine's networks. They are passed on whenever they change, and before a container on a new one is
// declared. An engine behind a proxy that forbids listing them is followed all the same: nothing is passed on then.
type networks struct {
	engine networkEngine // nil if it cannot list them
	hand   func([]catalog.Network)
	log    *slog.Logger
	// wake has room for one signal that a network was created or removed.
	wake chan struct{}
	// unreadable counts the networks that could not be read in full; it may be nil.
	unreadable prometheus.Gauge
	// problem reports for /health that they cannot be listed; it may be nil.
	problem func(what string)

	// listing is held while the networks are listed, which the engine may hang on, so that they are never passed on after newer
	// ones. It is taken before mu, never after.
	listing sync.Mutex
	handed  []catalog.Network
	told    bool
	// logged are the parts of networks that could not be read, as last logged, by the network's name.
	logged map[string]string

	// mu is never held during a call of the engine: every look at a container takes it.
	mu sync.Mutex
	// drivers are the drivers of the networks by ID; nil before the first list.
	drivers map[string]string
	// ids are the IDs of the networks by name.
	ids map[string]string
	// short are their names in Compose files, routed those whose addresses belong to the network around the host.
	short  map[string]string
	routed map[string]bool
	// faulty are the parts of networks that could not be read, by the network's ID.
	faulty map[string][]lenient.Fault
	// refused is set after a failure, until the next scheduled list.
	refused bool
}

func newNetworks(cfg Config, engine Engine, log *slog.Logger) *networks {
	n := &networks{hand: cfg.Networks, problem: cfg.NetworksProblem, log: log, wake: make(chan struct{}, 1)}
	n.engine, _ = engine.(networkEngine)
	return n
}

// lifecycle reports whether an event means that a network was created, changed or removed.
func lifecycle(m events.Message) bool {
	switch m.Action {
	case events.ActionCreate, events.ActionDestroy, events.ActionRemove, events.ActionUpdate:
		return m.Type == events.NetworkEventType
	default:
		return false
	}
}

// changed records such an event.
func (n *networks) changed() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run lists the networks again whenever they have changed, until ctx ends.
func (n *networks) run(ctx context.Context) {
	for {
		select {
		case <-n.wake:
			n.refresh(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// refresh lists the networks and passes them on if they differ from before.
func (n *networks) refresh(ctx context.Context) {
	if n.engine == nil {
		return
	}
	n.listing.Lock()
	defer n.listing.Unlock()
	n.list(ctx)
}

// know lists the networks if a container is on an unknown one.
func (n *networks) know(ctx context.Context, c *container.InspectResponse) {
	if n.engine == nil || c.NetworkSettings == nil {
		return
	}
	defer n.identify(c)
	if n.knows(c) {
		return
	}
	n.listing.Lock()
	defer n.listing.Unlock()
	if !n.knows(c) { // another look may have listed them meanwhile
		n.list(ctx)
	}
}

// identify gives a container's networks their IDs, where the engine has put a name in the place.
func (n *networks) identify(c *container.InspectResponse) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, endpoint := range c.NetworkSettings.Networks {
		if endpoint == nil || endpoint.NetworkID != "" && endpoint.NetworkID != name {
			continue
		}
		if id, ok := n.ids[name]; ok {
			endpoint.NetworkID = id
		}
	}
}

// knows reports whether all networks of a container are known, or the engine has refused to list them.
func (n *networks) knows(c *container.InspectResponse) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, endpoint := range c.NetworkSettings.Networks {
		if endpoint == nil || endpoint.NetworkID == "" || n.refused {
			continue
		}
		_, known := n.drivers[endpoint.NetworkID]
		if _, named := n.ids[name]; !known && (!named || endpoint.NetworkID != name) {
			return false
		}
	}
	return true
}

// list is called with listing held.
func (n *networks) list(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	items, err := listLeniently(call, func(ctx context.Context) ([]network.Summary, error) {
		result, err := n.engine.NetworkList(ctx, client.NetworkListOptions{})
		return result.Items, err
	})
	if err != nil {
		n.mu.Lock()
		n.refused = true
		n.mu.Unlock()
		if call.Err() == nil && !client.IsErrConnectionFailed(err) && n.handed == nil {
			n.pass(nil) // they stay unknown
		}
		if !n.told && ctx.Err() == nil && !client.IsErrConnectionFailed(err) { // else the engine does not answer at all
			n.told = true
			n.log.Warn("the engine's networks cannot be listed: keeping the last known ones", "error", err)
			n.report(fmt.Sprintf("the engine does not list its networks: what containers reach is not known in full, and names of other domains are not "+
				"resolved for those on unknown networks: %v", err))
		}
		return
	}
	if n.told {
		n.report("")
	}
	n.told = false
	drivers := make(map[string]string, len(items))
	short, routed := make(map[string]string), make(map[string]bool)
	faulty := make(map[string][]lenient.Fault)
	ids := make(map[string]string, len(items))
	var list []catalog.Network
	for i, item := range items {
		net := properName(item.value.Network)
		if len(item.faults) > 0 {
			faulty[cmp.Or(net.ID, net.Name, fmt.Sprintf("[%d]", i))] = item.faults
			n.logFaults(cmp.Or(net.Name, net.ID, fmt.Sprintf("[%d]", i)), item.faults)
		}
		if net.ID == "" {
			continue
		}
		drivers[net.ID], ids[net.Name] = net.Driver, net.ID
		short[net.ID], routed[net.ID] = net.Labels[composeNetwork], isRouted(net)
		if net.Driver != "host" && net.Driver != "null" {
			list = append(list, networkOf(net, item.faults...))
		}
	}
	if n.unreadable != nil {
		n.unreadable.Set(float64(len(faulty)))
	}
	n.mu.Lock()
	n.drivers, n.ids, n.short, n.routed, n.faulty, n.refused = drivers, ids, short, routed, faulty, false
	n.mu.Unlock()
	n.pass(list)
}

func (n *networks) report(what string) {
	if n.problem != nil {
		n.problem(what)
	}
}

// logFaults logs the parts of a network that could not be read, once. It is called with listing held.
func (n *networks) logFaults(name string, faults []lenient.Fault) {
	text := faultsText(faults)
	if n.logged[name] == text {
		return
	}
	if n.logged == nil || len(n.logged) > maxChanged {
		n.logged = make(map[string]string)
	}
	n.logged[name] = text
	n.log.Warn("part of the engine's answer about a network left out", "network", name, "reason", text)
}

// faultsOf returns the parts of a container's networks that could not be read.
func (n *networks) faultsOf(c *container.InspectResponse) (faults []lenient.Fault) {
	if c.NetworkSettings == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.faulty) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		endpoint := c.NetworkSettings.Networks[name]
		if endpoint == nil {
			continue
		}
		parts, known := n.faulty[endpoint.NetworkID]
		if !known { // its id could not be read
			parts = n.faulty[name]
		}
		for _, f := range parts {
			faults = append(faults, lenient.Fault{Path: "network " + name + ": " + f.Path, Reason: f.Reason})
		}
	}
	return faults
}

// leftOut returns the network of a name, as what is left out, if it could not be read as a whole.
func (n *networks) leftOut(node, name string) []catalog.LeftOut {
	n.mu.Lock()
	defer n.mu.Unlock()
	faults := n.faulty[name]
	if _, listed := n.drivers[name]; len(faults) == 0 || listed {
		return nil
	}
	return []catalog.LeftOut{{
		Node: node, Source: catalog.SourceNetwork, Name: name, Why: "the engine's answer about it cannot be read: " + faultsText(faults),
	}}
}

// pass passes the networks on if they differ from before. It is called with listing held.
func (n *networks) pass(list []catalog.Network) {
	slices.SortFunc(list, func(a, b catalog.Network) int { return strings.Compare(a.ID, b.ID) })
	if n.hand == nil || n.handed != nil && slices.EqualFunc(n.handed, list, sameNetwork) {
		return
	}
	n.handed = append([]catalog.Network{}, list...)
	n.hand(list)
}

func sameNetwork(a, b catalog.Network) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Short == b.Short && a.Interface == b.Interface && a.Isolated == b.Isolated && a.Internal == b.Internal &&
		slices.Equal(a.Subnets, b.Subnets) && slices.Equal(a.Gateways, b.Gateways)
}

// networkOf converts an engine's network to the catalog's form. Only on a bridge does the host have an address: the
// gateway of a macvlan network is a router elsewhere, and that of an overlay belongs to no host. An unreadable gateway is left out: the
// default is not assumed. A network that may be internal is: no name must get out of one.
func networkOf(n network.Network, faults ...lenient.Fault) catalog.Network {
	c := catalog.Network{
		ID: n.ID, Name: n.Name, Isolated: n.Options["com.docker.network.bridge.enable_icc"] == "false",
		Short: n.Labels[composeNetwork],
	}
	c.Internal = n.Internal || slices.ContainsFunc(faults, func(f lenient.Fault) bool { return f.Path == "Internal" })
	if n.Driver == network.NetworkBridge {
		c.Interface = cmp.Or(n.Options["com.docker.network.bridge.name"], "br-"+shortID(n.ID))
	}
	for i, config := range n.IPAM.Config {
		if !config.Subnet.IsValid() {
			continue
		}
		c.Subnets = append(c.Subnets, config.Subnet.Masked())
		at := fmt.Sprintf("IPAM.Config[%d].", i)
		doubtful := slices.ContainsFunc(faults, func(f lenient.Fault) bool { return strings.HasPrefix(f.Path, at) })
		if n.Driver == network.NetworkBridge && !doubtful {
			c.Gateways = append(c.Gateways, gatewayOf(config))
		}
	}
	return c
}

// gatewayOf returns the host's address in a subnet: the first one, unless the engine names another.
func gatewayOf(config network.IPAMConfig) netip.Addr {
	switch {
	case config.Gateway.IsValid():
		return config.Gateway.Unmap()
	case config.IPRange.IsValid():
		return firstOf(config.IPRange)
	default:
		return firstOf(config.Subnet)
	}
}

func firstOf(prefix netip.Prefix) netip.Addr {
	if first := prefix.Masked().Addr(); first.IsValid() {
		return first.Next()
	}
	return netip.Addr{}
}

// The driver options that note gives a container's endpoint.
const (
	noteShort  = "koine.short"
	noteRouted = "koine.routed"
)

// note tells in the answer about a container what the engine says of its networks only: their names in Compose files, and
// whether their addresses belong to the network around the host.
func (n *networks) note(c *container.InspectResponse) {
	if c.NetworkSettings == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c.NetworkSettings.Networks = maps.Clone(c.NetworkSettings.Networks)
	for name, endpoint := range c.NetworkSettings.Networks {
		if endpoint == nil || n.short[endpoint.NetworkID] == "" && !n.routed[endpoint.NetworkID] {
			continue
		}
		noted := *endpoint
		noted.DriverOpts = map[string]string{noteShort: n.short[endpoint.NetworkID]}
		if n.routed[endpoint.NetworkID] {
			noted.DriverOpts[noteRouted] = "true"
		}
		c.NetworkSettings.Networks[name] = &noted
	}
}

// isRouted reports whether the containers of a network have addresses of the network around the host.
func isRouted(n network.Network) bool {
	return (n.Driver == "macvlan" || n.Driver == "ipvlan") && !n.Internal
}

// addGateway gives a container on an overlay network its address on the bridge that connects it with the host: its
// queries come from that address, and the host reaches it there. Docker's inspection leaves it out.
func (n *networks) addGateway(ctx context.Context, c *container.InspectResponse) {
	if !n.onOverlay(c) {
		return
	}
	result, err := n.engine.NetworkInspect(ctx, gatewayBridge, client.NetworkInspectOptions{})
	if err != nil {
		n.log.Debug("no bridge to the host", "container", containerName(c), "error", err)
		return
	}
	endpoint, ok := result.Network.Containers[c.ID]
	if !ok {
		return
	}
	c.NetworkSettings.Networks = maps.Clone(c.NetworkSettings.Networks)
	c.NetworkSettings.Networks[gatewayBridge] = &network.EndpointSettings{
		NetworkID: result.Network.ID, IPAddress: endpoint.IPv4Address.Addr(),
	}
}

func (n *networks) onOverlay(c *container.InspectResponse) bool {
	if n.engine == nil || c.NetworkSettings == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, endpoint := range c.NetworkSettings.Networks {
		if endpoint != nil && n.drivers[endpoint.NetworkID] == "overlay" {
			return true
		}
	}
	return false
}
