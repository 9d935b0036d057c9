package catalog

// SourceNetwork is the source of networks of the engine that are left out.
const SourceNetwork = "network"

// LeftOut is something that a source has seen but not registered.
type LeftOut struct {
	Node   string `json:"node"`
	Source string `json:"source"`
	// Name and ID are those of the source: a container's.
	Name string `json:"name"`
	ID   string `json:"id"`
	// Service is the service that it would be an instance of, if that is known, NamedBy the rule that gave the name.
	Service string `json:"service,omitempty"`
	NamedBy string `json:"named_by,omitempty"`
	// Why is the reason why it is not registered.
	Why string `json:"why"`
}
