package catalog

// LeftOut is something that a source has seen, and has not registered.
type LeftOut struct {
	Node   string `json:"node"`
	Source string `json:"source"`
	// Name and ID are what the source knows it by: a container's.
	Name string `json:"name"`
	ID   string `json:"id"`
	// Service is the service that it would be an instance of, as far as that is known, NamedBy the rule that gave the name.
	Service string `json:"service,omitempty"`
	NamedBy string `json:"named_by,omitempty"`
	// Why says why it is not registered.
	Why string `json:"why"`
}
