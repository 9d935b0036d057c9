package catalog

import "time"

// Status is the outcome of a check, or of all checks of an instance taken together.
type Status string

// The statuses, from best to worst.
const (
	Passing  Status = "passing"
	Warning  Status = "warning"
	Critical Status = "critical"
)

// Valid tells whether s is one of the three statuses.
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

// CheckType says how a check comes to its status.
type CheckType string

// The types of check. CheckDocker is Docker's own HEALTHCHECK, whose status the Docker source declares.
const (
	CheckHTTP   CheckType = "http"
	CheckTCP    CheckType = "tcp"
	CheckScript CheckType = "script"
	CheckTTL    CheckType = "ttl"
	CheckDocker CheckType = "docker"
)

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
	// stands; an empty one leaves the outcome to whoever runs the check.
	Status Status `json:"status,omitempty"`
	// Output is what the check said when Status last changed, at most MaxOutput bytes.
	Output string `json:"output,omitempty"`
	// Since is when Status last changed.
	Since time.Time `json:"since,omitzero"`
}

// Definition is how a check is run. Type decides which of the fields matter; it may be left out in a declaration if
// exactly one of HTTP, TCP, Args and TTL is set.
type Definition struct {
	Type CheckType `json:"type"`

	// HTTP is the URL to get: below 300 passes, 429 warns, all else is critical.
	HTTP string `json:"http,omitempty"`
	// Method is the HTTP method; empty means GET.
	Method string `json:"method,omitempty"`
	// Header is sent with the HTTP request.
	Header map[string][]string `json:"header,omitempty"`
	// Body is sent with the HTTP request.
	Body string `json:"body,omitempty"`
	// TLSServerName is the name expected in the HTTPS server's certificate; empty means the URL's host.
	TLSServerName string `json:"tls_server_name,omitempty"`
	// TLSSkipVerify accepts any certificate.
	TLSSkipVerify bool `json:"tls_skip_verify,omitempty"`

	// TCP is the host:port to connect to.
	TCP string `json:"tcp,omitempty"`

	// Args is the script's command: exit code 0 passes, 1 warns, all else is critical.
	Args []string `json:"args,omitempty"`

	// TTL is how long a status pushed by the application holds before the check turns critical.
	TTL Duration `json:"ttl,omitzero"`

	// Interval is the time between two runs; 0 means DefaultInterval. It does not apply to TTL and Docker checks.
	Interval Duration `json:"interval,omitzero"`
	// Timeout bounds one run; 0 means DefaultTimeout.
	Timeout Duration `json:"timeout,omitzero"`
	// SuccessBeforePassing is how many successes in a row turn the check passing; 0 means 1.
	SuccessBeforePassing int `json:"success_before_passing,omitempty"`
	// FailuresBeforeWarning is how many failures in a row turn the check warning; 0 means never before critical.
	FailuresBeforeWarning int `json:"failures_before_warning,omitempty"`
	// FailuresBeforeCritical is how many failures in a row turn the check critical; 0 means 1.
	FailuresBeforeCritical int `json:"failures_before_critical,omitempty"`
	// InitialStatus is the status until the first run; empty means critical.
	InitialStatus Status `json:"initial_status,omitempty"`
}
