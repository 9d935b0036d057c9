package catalog

import (
	"sync"
	"time"
)

// maxFormer bounds the remembered names of instances that have gone; the oldest are forgotten.
const maxFormer = 1 << 14

// former remembers the bare names that instances have had, so that a name does not change its owner in the moment in which
// its container is stopped, recreated or removed. It covers the containers of other hosts, and those that the engine has
// forgotten.
type former struct {
	mu   sync.RWMutex
	left map[claim]time.Time
	// order has each claim once, those of the ring before next being the latest.
	order []claim
	next  int
}

// note records claims that have ended.
func (f *former) note(ended []claim, now time.Time) {
	if len(ended) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == nil {
		f.left = make(map[claim]time.Time)
	}
	for _, c := range ended {
		if _, known := f.left[c]; !known {
			f.place(c)
		}
		f.left[c] = now
	}
}

// place gives a claim its place in the ring, and forgets the one that had it. It is called with mu held.
func (f *former) place(c claim) {
	if len(f.order) < maxFormer {
		f.order = append(f.order, c)
		return
	}
	delete(f.left, f.order[f.next])
	f.order[f.next] = c
	f.next = (f.next + 1) % maxFormer
}

func (f *former) find(c claim) (left time.Time, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	left, ok = f.left[c]
	return left, ok
}

// claimsOf appends the claims of an instance on the networks of this host, and in its project.
func (n *networks) claimsOf(claims []claim, i *Instance) []claim {
	project := i.Project()
	for _, a := range i.Addresses {
		here := n.has(networkKey(a))
		for _, name := range a.Names {
			if here {
				claims = append(claims, claim{network: networkKey(a), name: fold(name)})
			}
			if project != "" {
				claims = append(claims, claim{project: project, name: fold(name)})
			}
		}
	}
	return claims
}

// has reports whether a network, given by its ID, is one of this host.
func (n *networks) has(id string) bool {
	for i := range n.list {
		if n.list[i].ID == id {
			return true
		}
	}
	return false
}
