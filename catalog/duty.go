package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A duty is something that must be done once for the whole catalog, though several processes could do it. It is assigned by
// a pure function of the View: among the nodes whose record says RunsChecks and whose session is alive, the one with the
// highest hash of its ID and the duty has it (rendezvous hashing). When a node comes or goes, only the duties that it
// takes or had move.

// ClockDuty is the duty to date the revisions of the store that came without a time.
const ClockDuty = "clock"

// ChecksDuty is the duty to run the checks of a node without an agent: all of its checks together.
func ChecksDuty(node string) string { return "checks/" + fold(node) }

// PurgeDuty is the duty to remove what a dead node leaves behind.
func PurgeDuty(node string) string { return "purge/" + fold(node) }

// candidate is a node that takes duties.
type candidate struct {
	node *Node
	// seed is the hash of the node's identity and a byte 0, which the hash of each duty continues.
	seed uint64
}

// identity returns the node's lasting identity: its ID, or its name if it has no ID.
func (n *Node) identity() string {
	if n.ID != "" {
		return n.ID
	}
	return fold(n.Name)
}

// Is reports whether two records are of the same node: one host under one name.
func (n *Node) Is(m *Node) bool { return n.ID == m.ID && strings.EqualFold(n.Name, m.Name) }

// hashStart and hashPrime are those of FNV-1a with 64 bits.
const hashStart, hashPrime = 0xcbf29ce484222325, 0x100000001b3

// hashMore continues the FNV-1a hash of a text with more of it.
func hashMore(hash uint64, text string) uint64 {
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * hashPrime
	}
	return hash
}

// weigh returns the weight with which a candidate bids for a duty. FNV spreads the last bytes over few bits, so the sum
// is mixed by the finalizer of MurmurHash3. Every process of every version must come to the same weights.
func (c candidate) weigh(duty string) uint64 {
	h := hashMore(c.seed, duty)
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// holderOf returns the node that has a duty; nil if there are no candidates.
func holderOf(candidates []candidate, duty string) *Node {
	var holder *Node
	var most uint64
	for _, c := range candidates {
		if weight := c.weigh(duty); holder == nil || weight > most || weight == most && c.node.before(holder) {
			holder, most = c.node, weight
		}
	}
	return holder
}

// before orders nodes whose weights are the same.
func (n *Node) before(m *Node) bool {
	return cmp.Or(strings.Compare(n.identity(), m.identity()), strings.Compare(n.Name, m.Name)) < 0
}

func newCandidate(node *Node) candidate {
	return candidate{node, hashMore(hashStart, node.identity()+"\x00")}
}

// Holder returns the node that has a duty; nil if no living node takes any.
func (v *View) Holder(duty string) *Node {
	if duties := v.duties.Load(); duties != nil {
		return duties.holder(duty)
	}
	return nil
}

// duties assigns each duty to one of its candidates, and is replaced when these change.
type duties struct {
	candidates []candidate
	// holders are the nodes that were looked up, by duty; count is the number stored since they were last cleared.
	holders sync.Map
	count   atomic.Int32
}

// maxHolders bounds the holders kept: nodes may come and go for long while the candidates stay.
const maxHolders = 100_000

func (d *duties) holder(duty string) *Node {
	if known, ok := d.holders.Load(duty); ok {
		return known.(*Node)
	}
	holder := holderOf(d.candidates, duty)
	if d.count.Add(1) > maxHolders {
		d.count.Store(0)
		d.holders.Clear()
	}
	d.holders.Store(duty, holder)
	return holder
}

// Holds reports whether a node has a duty.
func (v *View) Holds(node *Node, duty string) bool {
	holder := v.Holder(duty)
	return holder != nil && holder.Is(node)
}

// Runner returns the name of the node whose process runs the checks of a node: its own, or the one that has the duty; ""
// if there is none.
func (v *View) Runner(node string) string {
	n := v.Node(node)
	switch {
	case n == nil || !n.Agentless() && n.Session == "":
		return ""
	case !n.Agentless():
		return n.Name
	}
	if holder := v.Holder(ChecksDuty(node)); holder != nil {
		return holder.Name
	}
	return ""
}

// taker returns the host's node if it takes duties, or nil.
func (h *Host) taker() *Node {
	if h == nil || h.Node == nil || !h.Node.RunsChecks || h.Session == "" {
		return nil
	}
	return h.Node
}

// recordTaker records whether a node takes duties, after its host was rebuilt.
func (w *writer) recordTaker(b *batch, n *nodeState, before *Host) {
	taker := n.host.taker()
	if before.taker() == taker {
		return
	}
	if taker == nil {
		delete(w.takers, n.key)
	} else {
		w.takers[n.key] = newCandidate(taker)
	}
	b.duties = true
}

// publishDuties assigns the duties to the present candidates.
func (v *View) publishDuties() {
	v.duties.Store(&duties{candidates: slices.Collect(maps.Values(v.writer.takers))})
}
