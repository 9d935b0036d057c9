package client

import (
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Headers of Koine's own.
const (
	// HeaderRevision is the store revision at which the answer was true.
	HeaderRevision = "X-Koine-Revision"
	// HeaderIndex is the index to send with the next blocking read of the same thing.
	HeaderIndex = "X-Koine-Index"
	// HeaderAge is the number of seconds since the server lost touch with its store. The answer is then the last known
	// state. A server in touch with its store does not send the header.
	HeaderAge = "X-Koine-Age"
	// HeaderRegistrant is a header of requests: the name by which a client tells its own registrations from those of
	// others. It may be any text that no other client uses. A client that registers an id that another name holds replaces
	// the registration. From then on only the new name can renew or deregister it, and the former one gets a conflict.
	HeaderRegistrant = "X-Koine-Registrant"
)

// Instance is an instance as the API shows it: what was declared, and what the catalog knows of it now.
type Instance struct {
	catalog.Instance

	// Status is the worst of the instance's checks, its node's checks, and critical if the node is not alive.
	Status catalog.Status `json:"status"`
	// Healthy reports whether clients get the instance.
	Healthy bool `json:"healthy"`
	// WhyNot is the reason why they do not; empty if they do.
	WhyNot string `json:"why_not,omitempty"`
	// Address and Port are what a client on the outside would dial: the first address at which the instance is reached
	// and its main port there. Both may be empty.
	Address string `json:"address,omitempty"`
	Port    uint16 `json:"port,omitempty"`
	// Checks are the instance's own checks.
	Checks []CheckStatus `json:"checks,omitempty"`
	// CreateRevision and ModRevision are those at which the instance was first and last written.
	CreateRevision uint64 `json:"create_revision"`
	ModRevision    uint64 `json:"mod_revision"`
}

// CheckStatus is the last outcome of a check.
type CheckStatus struct {
	ID string `json:"id"`
	// Node, Instance and Service name what is checked; they are set in lists of checks only.
	Node     string            `json:"node,omitempty"`
	Instance string            `json:"instance,omitempty"`
	Service  string            `json:"service,omitempty"`
	Name     string            `json:"name,omitempty"`
	Type     catalog.CheckType `json:"type"`
	Status   catalog.Status    `json:"status"`
	// Output is the check's output when its status last changed. Answers about services leave it out.
	Output string `json:"output,omitempty"`
	// Since is the time at which the status last changed.
	Since time.Time `json:"since,omitzero"`
	// Runner is the node whose Koine runs it, or knows its outcome; empty if none does, and in answers about services.
	Runner string `json:"runner,omitempty"`
	// Run is the state of its runs; nil if the server that answers does not run it, and in answers about services.
	Run *catalog.CheckRun `json:"run,omitempty"`
}

// Service is the answer about one service.
type Service struct {
	// Index is the last revision at which the service changed, for LookupAfter.
	Index catalog.Position `json:"index"`
	// Service is the name in lower case.
	Service string `json:"service"`
	// Nearest is how many of the first instances to use, in answers to clients that name a place. The others are for when
	// these fail.
	Nearest int `json:"nearest,omitempty"`
	// Instances are those that the query selects, by node and ID, or from near to far for a client that names a place. Their
	// Locality is their node's if they have none.
	Instances []Instance `json:"instances"`
	// Revision is the one at which the answer was true.
	Revision uint64 `json:"-"`
}

// ServiceSummary is a service in the list of all.
type ServiceSummary struct {
	Name string `json:"name"`
	// Instances and Healthy count all of its instances and those that clients get.
	Instances int `json:"instances"`
	Healthy   int `json:"healthy"`
	// Tags are those of any of its instances, sorted.
	Tags []string `json:"tags,omitempty"`
	// Index is the last revision at which the service changed, for LookupAfter.
	Index catalog.Position `json:"index"`
}

// ServiceList is the list of services, by name.
type ServiceList struct {
	// Index is the last revision at which the list changed.
	Index    catalog.Position `json:"index"`
	Services []ServiceSummary `json:"services"`
	Revision uint64           `json:"-"`
}

// InstanceList is a list of instances of any health, by node and ID.
type InstanceList struct {
	Instances []Instance `json:"instances"`
	Revision  uint64     `json:"-"`
}

// CheckList is a list of checks, by node and ID.
type CheckList struct {
	Checks   []CheckStatus `json:"checks"`
	Revision uint64        `json:"-"`
}

// NodeSummary is a node without its instances.
type NodeSummary struct {
	Name string `json:"name"`
	ID   string `json:"id,omitempty"`
	// Alive reports whether the node's session lives, or the node needs none.
	Alive bool `json:"alive"`
	// Status is the worst of the node's checks, and critical if it is not alive.
	Status    catalog.Status    `json:"status"`
	Addresses []catalog.Address `json:"addresses,omitempty"`
	Meta      map[string]string `json:"meta,omitempty"`
	Locality  catalog.Locality  `json:"locality,omitzero"`
	Owner     catalog.Owner     `json:"owner,omitzero"`
	Origin    *catalog.Origin   `json:"origin,omitempty"`
	// Checks are the node's own checks.
	Checks []CheckStatus `json:"checks,omitempty"`
	// InstanceCount counts the instances on the node. It is not part of the list's index.
	InstanceCount int `json:"instance_count"`
	// Former are the names that the node has had before, the last one at the end.
	Former []string `json:"former,omitempty"`
}

// NodeList is the list of nodes, by name.
type NodeList struct {
	// Index is the last revision at which a node came, went or changed, its instances not counted.
	Index    catalog.Position `json:"index"`
	Nodes    []NodeSummary    `json:"nodes"`
	Revision uint64           `json:"-"`
}

// Node is a node with everything on it.
type Node struct {
	// Index is the last revision at which anything of the node changed.
	Index catalog.Position `json:"index"`
	NodeSummary
	Instances []Instance `json:"instances"`
	Revision  uint64     `json:"-"`
}

// Event is the whole present state of one service, as a watch reports it.
type Event struct {
	// ID is where a watch goes on after the event.
	ID catalog.Position `json:"id,omitzero"`
	// Revision is one at which the event was true.
	Revision uint64 `json:"revision"`
	// More reports that other services changed at the same revision and are still to come. A watch must not be resumed
	// from such an event: it would miss them.
	More bool `json:"more,omitempty"`
	// Reset reports that the server could not resume: the whole present state follows, and services that do not follow
	// have gone. Only an event without a service carries it.
	Reset bool `json:"reset,omitempty"`
	// Service is the name in lower case; empty in an event that only reports that nothing is missing up to Revision.
	Service string `json:"service,omitempty"`
	// Nearest means the same as in Service.
	Nearest int `json:"nearest,omitempty"`
	// Instances are those that the watch selects; empty when the last has gone.
	Instances []Instance `json:"instances,omitempty"`
}

// Health is the state of the server itself. While it is not ready the answer is an error with these fields added.
type Health struct {
	Ready bool `json:"ready"`
	// WaitingFor is what keeps the server from being ready.
	WaitingFor []string `json:"waiting_for,omitempty"`
	// Problems are the faults of a server that answers all the same.
	Problems []string `json:"problems,omitempty"`
	// Upstreams are the resolvers that names of other domains are passed on to, host:port, or zone=host:port for those of one zone.
	Upstreams []string `json:"upstreams,omitempty"`
	// Revision is the store's that the answers have reached.
	Revision uint64 `json:"revision"`
	// Age is the time since the server lost touch with its store; 0 while it is in touch.
	Age     catalog.Duration `json:"age"`
	Node    string           `json:"node,omitempty"`
	Version string           `json:"version,omitempty"`
}

// Written is the answer to a write.
type Written struct {
	// Revision is one at which the catalog held what was written.
	Revision uint64 `json:"revision"`
}

// DrainOrder takes a service, a node or an instance out of the answers.
type DrainOrder struct {
	Service string `json:"service,omitempty"`
	// Node alone means all of its instances. An instance without a node is one of the server's own node.
	Node     string `json:"node,omitempty"`
	Instance string `json:"instance,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// DrainList is what is drained.
type DrainList struct {
	// Drains are the orders in force.
	Drains []catalog.Drain `json:"drains"`
	// Instances are those that their owners drain: containers that were sent their stop signal, are paused, or have ended. Since
	// is zero if the time is not known.
	Instances []catalog.Drain `json:"instances"`
}

// Explanation is the state of one instance and the protocols that show it to a client.
type Explanation struct {
	Instance
	// NamedBy is the rule that gave the instance its service's name, if its source has recorded it.
	NamedBy string `json:"named_by,omitempty"`
	// Warnings are what its source finds wrong with its settings, Hints what else it notes about them.
	Warnings []string `json:"warnings,omitempty"`
	Hints    []string `json:"hints,omitempty"`
	// KeptBy describes what keeps the instance registered.
	KeptBy string `json:"kept_by"`
	// LeaseLeft is the time left of the lease or the node's session that keeps it, without a renewal; 0 if it depends on
	// none, or if the time is not known.
	LeaseLeft catalog.Duration `json:"lease_left,omitzero"`
	// NodeAlive reports whether its node's session lives, or the node needs none.
	NodeAlive bool `json:"node_alive"`
	// RegisteredAt is the time at which it was first written; zero if the store has forgotten it.
	RegisteredAt time.Time `json:"registered_at,omitzero"`
	// Drained is the reason why it takes no traffic; empty while it does.
	Drained string `json:"drained,omitempty"`
	// One for each protocol by which clients can find it.
	Doors []DoorView `json:"doors"`
}

// DoorView is an instance as clients of one protocol find it, or why they do not.
type DoorView struct {
	// The protocol: "http" or "dns".
	Door string `json:"door"`
	// Names are the names under which the protocol finds the instance.
	Names []string `json:"names"`
	// Visible reports whether the client gets the instance; Why is the reason why not, or why in spite of its health.
	Visible bool   `json:"visible"`
	Why     string `json:"why,omitempty"`
	// Without is what the answers lack, and why.
	Without string `json:"without,omitempty"`
	// Limit is the most instances in one answer, drawn by weight; 0 if there is no limit.
	Limit int `json:"limit,omitempty"`
	// Addresses are those that the client gets, or would get.
	Addresses []string `json:"addresses,omitempty"`
	// Port is the port that clients get with the first address if they name none; 0 if there is none.
	Port uint16 `json:"port,omitempty"`
}

// ExplanationList is the answer to GET /explain.
type ExplanationList struct {
	Explanations []Explanation `json:"explanations"`
	// LeftOut is what the sources of the server's host have seen under the name without registering it.
	LeftOut []catalog.LeftOut `json:"left_out,omitempty"`
}

// CheckPush is the outcome of a TTL check as its application pushes it.
type CheckPush struct {
	Status catalog.Status `json:"status"`
	Output string         `json:"output,omitempty"`
}

// ErrorBody is the answer to a request that was refused.
type ErrorBody struct {
	Error ErrorDetail `json:"error"`
}

// ErrorDetail says what was wrong.
type ErrorDetail struct {
	// Code is the text of a catalog.Kind.
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}
