package catalog

import (
	"strings"
	"time"
)

// Status is the outcome of a check, or of all checks of an instance taken together.
type Status string

// The statuses, from best to worst.
const (
	Passing  Status = "passing"
	Warning  Status = "warning"
	Critical Status = "critical"
)

// Valid reports whether s is one of the three statuses.
func (s Status) Valid() bool { return s == Passing || s == Warning || s == Critical }

// Worse returns the worse of two statuses. What is not a status counts as critical.
func (s Status) Worse(t Status) Status {
	if s.severity() >= t.severity() {
		return s
	}
	return t
}

func (s Status) severity() int {
	switch s {
	case Passing:
		return 0
	case Warning:
		return 1
	default:
		return 2
	}
}

// CheckType is the way in which a check gets its status.
type CheckType string

// The types of check. CheckExec is a command inside a container, CheckAlias the status of something else in the catalog,
// CheckDocker Docker's own HEALTHCHECK, whose status the Docker source declares.
const (
	CheckHTTP   CheckType = "http"
	CheckTCP    CheckType = "tcp"
	CheckUDP    CheckType = "udp"
	CheckGRPC   CheckType = "grpc"
	CheckH2Ping CheckType = "h2ping"
	CheckScript CheckType = "script"
	CheckExec   CheckType = "exec"
	CheckAlias  CheckType = "alias"
	CheckTTL    CheckType = "ttl"
	CheckDocker CheckType = "docker"
)

// OutputStarting is the output of a declared check that has not been run yet. The first real output takes its place even
// if the status stays.
const OutputStarting = "starting"

// OutputDue begins the output of such a check if the time is known at which it is run first; the time follows.
const OutputDue = OutputStarting + ": it is run first by "

// AwaitsFirstRun reports whether an output is that of a declared check which has not been run yet.
func AwaitsFirstRun(output string) bool {
	return output == OutputStarting || strings.HasPrefix(output, OutputDue)
}

// OutputChanged is the output of a check that has not run since the declaration of its target changed. Like
// OutputStarting it gives way to the first real output.
const OutputChanged = "not run since its definition changed"

// MinDeregisterAfter is the shortest time after which a critical check deregisters its instance.
const MinDeregisterAfter = time.Second

// CheckRun is the state of a check that only the process that runs it knows: the catalog does not keep it.
type CheckRun struct {
	// FlapScore measures flapping, in percent of the changes that the last runs could have made.
	FlapScore float64 `json:"flap_score"`
	// Damped is set while the check is held critical because it flaps.
	Damped bool `json:"damped,omitempty"`
	// Status and Output are those of the last run, before any threshold applies; Last is the time when the run ended or
	// the status was pushed. All are empty before the first run here.
	Status Status    `json:"status,omitempty"`
	Output string    `json:"output,omitempty"`
	Last   time.Time `json:"last,omitzero"`
	// Next is the time of the next run, or the time at which the check turns critical if no status is pushed; zero while
	// it runs, and for a check without a timetable.
	Next time.Time `json:"next,omitzero"`
}

// Check is one check of an instance, or of a node if Instance is empty, with its last outcome.
type Check struct {
	// ID is unique on its node.
	ID string `json:"id"`
	// Node is the node's name.
	Node string `json:"node"`
	// Instance is the ID of the instance that is checked; empty for the node itself.
	Instance string `json:"instance,omitempty"`
	// Name is for people.
	Name string `json:"name,omitempty"`

	Definition

	// Status is the last outcome. In a declaration a set Status is part of what is declared and written as it
	// stands; an empty one leaves the outcome to the runner of the check.
	Status Status `json:"status,omitempty"`
	// Output is the check's output when Status last changed, at most MaxOutput bytes.
	Output string `json:"output,omitempty"`
	// Since is the time when Status last changed.
	Since time.Time `json:"since,omitzero"`

	// Origin is the registration of a check that has moved to another name of its node since; nil if it has not.
	Origin *CheckOrigin `json:"origin,omitempty"`

	// CreateRevision is the revision at which the check's record was created; 0 in a declaration.
	CreateRevision uint64 `json:"-"`
}

// CheckOrigin is the registration of a check: unlike its node's name and its ID, it never changes, and a check that is registered
// again has another one.
type CheckOrigin struct {
	// Node and ID are those of the check when it was registered, Revision is that of its record.
	Node     string `json:"node"`
	ID       string `json:"id"`
	Revision uint64 `json:"revision"`
}

// Registered returns the registration of a check.
func (c *Check) Registered() CheckOrigin {
	if c.Origin != nil {
		return *c.Origin
	}
	return CheckOrigin{Node: c.Node, ID: c.ID, Revision: c.CreateRevision}
}

// MovedTo returns the check as it is on a node that its own one is renamed to.
func (c *Check) MovedTo(node string) Check {
	moved, origin := *c, c.Registered()
	moved.Node, moved.Origin = node, &origin
	return moved
}
