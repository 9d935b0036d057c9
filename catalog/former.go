package catalog

import (
	"container/list"
	"slices"
	"time"
)

// maxFormer bounds the remembered names of instances that have gone. Those that ended longest ago are forgotten.
const maxFormer = 1 << 14

// former remembers the bare names that instances have had, so that a name does not change its owner in the moment in which
// its container is stopped, recreated or removed. It covers the containers of other hosts, and those that the engine has
// forgotten. The View's writer writes it; its readers take no lock.
type former struct {
	left *shardMap[claim, ending]
	// order has each claim once, the one that ended last at the back. Only the writer uses it.
	order list.List
}

// ending is the time at which a claim ended, and its place in the order.
type ending struct {
	at    time.Time
	place *list.Element
}

func newFormer() *former { return &former{left: newShardMap[claim, ending](fewShards)} }

// note records claims that have ended.
func (f *former) note(ended []claim, now time.Time) {
	if len(ended) == 0 {
		return
	}
	put := make(map[claim]ending, len(ended))
	for _, c := range ended {
		if _, repeated := put[c]; repeated {
			continue
		}
		before, known := f.left.get(c)
		if known {
			f.order.MoveToBack(before.place)
		} else {
			before.place = f.order.PushBack(c)
		}
		put[c] = ending{now, before.place}
	}
	var forgotten []claim
	for f.order.Len() > maxFormer {
		c := f.order.Remove(f.order.Front()).(claim)
		delete(put, c)
		forgotten = append(forgotten, c)
	}
	f.left.update(put, forgotten)
}

func (f *former) find(c claim) (left time.Time, ok bool) {
	found, ok := f.left.get(c)
	return found.at, ok
}

// endedClaims appends the claims that an instance no longer has after a change.
func (n *networks) endedClaims(claims []claim, c endpointChange) []claim {
	first := len(claims)
	claims = n.claimsOf(claims, c.old.Instance)
	if c.new == nil {
		return claims
	}
	kept := n.claimsOf(nil, c.new.Instance)
	ended := slices.DeleteFunc(claims[first:], func(one claim) bool { return slices.Contains(kept, one) })
	return claims[:first+len(ended)]
}

// claimsOf appends the claims of an instance on the networks of this host, and in its project.
func (n *networks) claimsOf(claims []claim, i *Instance) []claim {
	for _, a := range i.Addresses {
		if !n.has(networkKey(a)) {
			continue
		}
		for _, name := range a.Names {
			claims = append(claims, claim{network: networkKey(a), name: fold(name)})
		}
	}
	project := i.Project()
	for name := range i.namesInProject() {
		claims = append(claims, claim{project: project, name: name})
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
