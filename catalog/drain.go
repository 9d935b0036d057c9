package catalog

import "time"

// Drain is an operator's order to take instances out of the answers until it is undone. It outlives restarts of the
// instances, of their node and of Koine.
type Drain struct {
	// Service, or Node, or Node and Instance, name what is drained.
	Service  string `json:"service,omitempty"`
	Node     string `json:"node,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Reason is for people.
	Reason string `json:"reason,omitempty"`
	// Since is the time of the order; zero if it is not known.
	Since time.Time `json:"since,omitzero"`
	// Origin is the author of the order.
	Origin *Origin `json:"origin,omitempty"`
}

// Validate checks a drain against the grammar and the limits.
func (d *Drain) Validate() error {
	if (d.Service == "") == (d.Node == "") || d.Instance != "" && d.Node == "" {
		return Errorf(KindInvalid, "a drain names a service, or a node, or an instance on a node")
	}
	if d.Service != "" {
		if err := ValidateName("service", d.Service); err != nil {
			return err
		}
	}
	if d.Node != "" {
		if err := ValidateName("node", d.Node); err != nil {
			return err
		}
	}
	if d.Instance != "" {
		if err := ValidateID("instance", d.Instance); err != nil {
			return err
		}
	}
	return validateText("drain", " reason", d.Reason, MaxMetaValue)
}

// why describes the order and its reason.
func (d *Drain) why() string {
	what := "drained"
	switch {
	case d.Service != "":
		what = "service " + d.Service + " is drained"
	case d.Instance == "":
		what = "node " + d.Node + " is drained"
	}
	if d.Reason != "" {
		return what + ": " + d.Reason
	}
	return what
}

// Drains returns all orders in force, in no order.
func (v *View) Drains() []*Drain {
	if list := v.drains.Load(); list != nil {
		return *list
	}
	return nil
}

// drained is the target of an order: a service, a node, or an instance on a node.
type drained struct{ service, node, instance string }

// recordDrain records an order and marks what it touches dirty.
func (w *writer) recordDrain(v *View, b *batch, c *Change) {
	target := drained{node: fold(c.Name), instance: c.ID}
	if c.Name == "" {
		target = drained{service: fold(c.ID)}
	}
	if c.Drain == nil {
		delete(w.drains, target)
	} else {
		w.drains[target] = c.Drain
	}
	b.drains = true
	switch {
	case target.service != "":
		if s := v.Service(target.service); s != nil {
			for _, e := range s.Endpoints {
				w.touch(b, fold(e.Instance.Node), e.ID)
			}
		}
	case target.instance != "":
		w.touch(b, target.node, target.instance)
	default:
		if n, ok := w.nodes[target.node]; ok {
			b.touch(n)
			for id, i := range n.instances {
				n.touch(id, i)
			}
		}
	}
}

// touch marks an instance, if it exists.
func (w *writer) touch(b *batch, node, id string) {
	if n, ok := w.nodes[node]; ok && n.instances[id] != nil {
		b.touch(n)
		n.touch(id, n.instances[id])
	}
}

// whyDrained returns the reason why an instance takes no traffic: its owner drained it, or there is an order for it, its
// node or its service.
func (w *writer) whyDrained(i *Instance) string {
	if i.Drain != "" || len(w.drains) == 0 {
		return i.Drain
	}
	node := fold(i.Node)
	for _, target := range []drained{{node: node, instance: i.ID}, {node: node}, {service: fold(i.Service)}} {
		if d, ok := w.drains[target]; ok {
			return d.why()
		}
	}
	return ""
}

// publishDrains rebuilds the list of orders.
func (v *View) publishDrains() {
	list := make([]*Drain, 0, len(v.writer.drains))
	for _, d := range v.writer.drains {
		list = append(list, d)
	}
	v.drains.Store(&list)
}
