package catalog

// ScopeOfInstance returns what an instance can reach when it is the asker: what is on any of its networks.
func (v *View) ScopeOfInstance(e *Endpoint) *Scope {
	return v.networks.Load().scope(networkKeys(e))
}
