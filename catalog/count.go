package catalog

// Counts is the size of a View.
type Counts struct {
	// Services counts services with instances, BelowFloor those of them with fewer healthy instances than their floor
	// requires.
	Services, BelowFloor int
	Instances, Nodes     int
}

// Count counts the contents of the View. It looks at every service once.
func (v *View) Count() Counts {
	n := Counts{Nodes: v.nodes.len()}
	for _, state := range v.services.all() {
		s := state.snapshot.Load()
		if len(s.Endpoints) == 0 {
			continue
		}
		n.Services++
		n.Instances += len(s.Endpoints)
		if s.BelowFloor {
			n.BelowFloor++
		}
	}
	return n
}

// Waiters returns the number of waits for a change of one service or one node.
func (v *View) Waiters() int {
	v.wake.mu.Lock()
	defer v.wake.mu.Unlock()
	return v.wake.members
}
