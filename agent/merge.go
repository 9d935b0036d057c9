package agent

import (
	"fmt"

	"github.com/koine-sd/koine/catalog"
)

// declaration is what one source found.
type declaration struct {
	registrations []catalog.Registration
	nodeChecks    []catalog.Check
}

// merge gathers the declarations of several sources, in that order, into one state of a node. What cannot stand beside
// what came before it, or is outside the limits, is left out and told in complaints; the rest is not affected.
func merge(node catalog.Node, order []string, declared map[string]declaration) (state catalog.NodeState, complaints []string) {
	state.Node = node
	instances := make(map[string]string)
	checks := make(map[string]bool)
	for _, source := range order {
		for _, r := range declared[source].registrations {
			r.Instance.Node = node.Name
			if err := admit(&r, source, instances, checks); err != nil {
				complaints = append(complaints, err.Error())
				continue
			}
			state.Registrations = append(state.Registrations, r)
		}
		for _, c := range declared[source].nodeChecks {
			c.Node, c.Instance = node.Name, ""
			if err := c.Validate(); err != nil {
				complaints = append(complaints, err.Error())
				continue
			}
			if checks[c.ID] {
				complaints = append(complaints, fmt.Sprintf("check %s of node %s is declared twice", c.ID, node.Name))
				continue
			}
			checks[c.ID] = true
			state.Checks = append(state.Checks, c)
		}
	}
	return state, complaints
}

// admit notes a registration's ids, or tells why it has no place.
func admit(r *catalog.Registration, source string, instances map[string]string, checks map[string]bool) error {
	for i := range r.Checks {
		r.Checks[i].Node, r.Checks[i].Instance = r.Instance.Node, r.Instance.ID
	}
	if err := r.Validate(); err != nil {
		return err
	}
	if other, taken := instances[r.Instance.ID]; taken {
		return fmt.Errorf("instance %s of %s has the id of one of %s", r.Instance.ID, source, other)
	}
	for _, c := range r.Checks {
		if checks[c.ID] {
			return fmt.Errorf("instance %s of %s has a check %s that is declared twice", r.Instance.ID, source, c.ID)
		}
	}
	instances[r.Instance.ID] = source
	for _, c := range r.Checks {
		checks[c.ID] = true
	}
	return nil
}
