package catalog

import "time"

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
	// Locality is where the node is.
	Locality Locality `json:"locality,omitzero"`
	// Owner is OwnerSession for a node that lives while its session is renewed, with the session's TTL, or
	// OwnerPermanent for a node that no agent looks after and that counts as alive until it is removed.
	Owner Owner `json:"owner"`
	// Origin is the client that declared it; nil for a node that declares itself in the process that keeps the catalog.
	Origin *Origin `json:"origin,omitempty"`
	// PurgeAfter is how long the node's records are kept after its session has ended; 0 means DefaultPurgeAfter.
	PurgeAfter Duration `json:"purge_after,omitzero"`
	// RunsChecks says that the node's agent runs the checks of nodes that have none, and takes the other duties that one
	// process has for all: see View.Holder. Only a node with a session has it.
	RunsChecks bool `json:"runs_checks,omitempty"`
}

// NodeState is the whole of what one provider declares of a node. What the node's session owns and is not named here
// is removed; what other owners hold on the node is never touched.
type NodeState struct {
	Node          Node           `json:"node"`
	Registrations []Registration `json:"instances,omitempty"`
	// Checks are the checks of the node itself.
	Checks []Check `json:"checks,omitempty"`
	// Gone says, by id, why instances that were declared before are declared no more, as far as their sources know.
	Gone map[string]string `json:"-"`
	// Keep holds the ids of instances that stay as they are, with their checks, although they are not among Registrations.
	Keep map[string]bool `json:"-"`
	// KeepChecks says that checks of the node that are not among Checks stay, too.
	KeepChecks bool `json:"-"`
	// Since is when the oldest of the changes came about that are declared for the first time: from then on it is measured
	// how long they take to show. The zero time means when the state is handed in.
	Since time.Time `json:"-"`
}

// SyncResult says what a sync of a node did.
type SyncResult struct {
	// Revision is one at which the catalog held the declared state.
	Revision uint64 `json:"revision"`
	// Puts and Deletes count the records written; both are 0 if the catalog held the declared state already.
	Puts    int `json:"puts"`
	Deletes int `json:"deletes"`
	// Conflicts names what was left out because another owner holds its place.
	Conflicts []string `json:"conflicts,omitempty"`
}
