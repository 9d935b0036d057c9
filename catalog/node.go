package catalog

import (
	"slices"
	"strings"
	"time"
)

// Node is a host that instances run on.
type Node struct {
	// Name is unique in the catalog.
	Name string `json:"name"`
	// ID is the node's identity. It stays when the node's addresses change.
	ID string `json:"id,omitempty"`
	// Addresses are in order of preference.
	Addresses []Address `json:"addresses,omitempty"`
	// Meta is free text by key.
	Meta map[string]string `json:"meta,omitempty"`
	// Locality is the node's place.
	Locality Locality `json:"locality,omitzero"`
	// Owner is OwnerSession for a node that lives while its session is renewed, with the session's TTL, or
	// OwnerPermanent for a node that no agent looks after and that counts as alive until it is removed.
	Owner Owner `json:"owner"`
	// Origin is the client that declared it; nil for a node that declares itself in the process that keeps the catalog.
	Origin *Origin `json:"origin,omitempty"`
	// PurgeAfter is the time from the end of the node's session to the removal of its records; 0 means DefaultPurgeAfter.
	PurgeAfter Duration `json:"purge_after,omitzero"`
	// RunsChecks is set if the node's agent runs the checks of nodes without an agent, and takes the other duties that
	// one process has for all: see View.Holder. It must only be set for a node with a session.
	RunsChecks bool `json:"runs_checks,omitempty"`
	// Former are the names that the node has had before, the last one at the end, at most MaxFormer. The registry keeps them.
	Former []string `json:"former,omitempty"`
}

// MaxFormer bounds the former names of a node that are remembered.
const MaxFormer = 8

// FormerNames returns the former names of a node that is renamed to now: those that it has had, and its name.
func (n *Node) FormerNames(now string) []string {
	names := slices.DeleteFunc(append(slices.Clone(n.Former), n.Name), func(name string) bool { return strings.EqualFold(name, now) })
	return names[max(len(names)-MaxFormer, 0):]
}

// NodeState is all that one provider declares of a node. Records that the node's session owns and that are not named
// here are removed; those of other owners on the node are never touched.
type NodeState struct {
	Node          Node           `json:"node"`
	Registrations []Registration `json:"instances,omitempty"`
	// Checks are the checks of the node itself.
	Checks []Check `json:"checks,omitempty"`
	// Gone has, by id, the reasons why instances declared before no longer are, as far as their sources know.
	Gone map[string]string `json:"-"`
	// Keep holds the ids of instances that stay as they are, with their checks, although they are not among Registrations.
	Keep map[string]bool `json:"-"`
	// KeepChecks says that checks of the node that are not among Checks stay, too.
	KeepChecks bool `json:"-"`
	// Ended reports whether a session of the same identity is known to be that of a process that has ended, so that its node can be
	// renamed at once; nil if that is known of none.
	Ended func(session string) bool `json:"-"`
	// Since is the time of the oldest change that is declared for the first time: the time until such changes show is
	// measured from it. The zero time means the time of the call.
	Since time.Time `json:"-"`
}

// SyncResult is the result of a sync of a node.
type SyncResult struct {
	// Revision is one at which the catalog held the declared state.
	Revision uint64 `json:"revision"`
	// Puts and Deletes count the records written; both are 0 if the catalog held the declared state already.
	Puts    int `json:"puts"`
	Deletes int `json:"deletes"`
	// Conflicts names the records that were left out because another owner holds their place.
	Conflicts []string `json:"conflicts,omitempty"`
	// Renamed are the nodes of the same identity whose place the node has taken.
	Renamed []Rename `json:"renamed,omitempty"`
}

// Rename is the removal of a node whose identity was declared under another name. Everything on it that the node's declaration
// does not own has moved to the node of the new name.
type Rename struct {
	// From is the former name.
	From string `json:"from"`
	// Moved counts the instances that moved.
	Moved int `json:"moved"`
	// Notes says what became of instances whose IDs were taken under the new name.
	Notes []string `json:"notes,omitempty"`
}
