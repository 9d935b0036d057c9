package catalog

// ScopeOfInstance returns the scope of an instance as a client: all that is on any of its networks.
func (v *View) ScopeOfInstance(e *Endpoint) *Scope {
	return v.networks.Load().scopeOf(nil, e.Instance.Addresses, e.Project())
}

// ScopeOn returns the scope of a client on one network of this host, given by its name or ID; false if the network does
// not exist.
func (v *View) ScopeOn(network string) (*Scope, bool) {
	found, ok := v.Network(network)
	if !ok {
		return nil, false
	}
	n, ids := v.networks.Load(), []string{found.ID}
	confined, unsure := n.bounds(ids)
	return n.scope(ids, "", confined, unsure), true
}
