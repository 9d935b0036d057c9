package catalog

import (
	"slices"
	"strings"
)

// checkPlace names the owner of a check by the IDs of the check and its instance; an empty instance is the node. A list
// of them is rebuilt only when a check comes, goes or moves, not when its status changes.
type checkPlace struct{ check, instance string }

func compareCheckPlace(p checkPlace, check string) int { return strings.Compare(p.check, check) }

// Check returns the node's or an instance's check with that ID, or nil.
func (n *NodeSnapshot) Check(id string) *Check {
	if n.places == nil {
		return nil
	}
	place, ok := find(*n.places, id, compareCheckPlace)
	if !ok {
		return nil
	}
	if place.instance == "" {
		return findCheck(n.Checks, id)
	}
	if e := n.Endpoint(place.instance); e != nil {
		return findCheck(e.Checks, id)
	}
	return nil
}

// findCheck returns the check with an ID from a list sorted by ID, or nil.
func findCheck(list []*Check, id string) *Check {
	i, ok := slices.BinarySearchFunc(list, id, compareCheckID)
	if !ok {
		return nil
	}
	return list[i]
}

func compareCheckID(c *Check, id string) int { return strings.Compare(c.ID, id) }

// placeChecks updates the list of the places of the node's checks; nil is an empty list.
func (n *nodeState) placeChecks(before *chunked[checkPlace]) *chunked[checkPlace] {
	var list chunked[checkPlace]
	if before != nil {
		list = *before
	}
	slices.Sort(n.movedChecks)
	var edits []edit[checkPlace]
	for _, id := range slices.Compact(n.movedChecks) {
		if check, ok := n.checks[id]; ok {
			edits = append(edits, edit[checkPlace]{value: checkPlace{id, check.Instance}})
		} else {
			edits = append(edits, edit[checkPlace]{checkPlace{check: id}, true})
		}
	}
	n.movedChecks = nil
	list = list.with(edits, func(a, b checkPlace) int { return strings.Compare(a.check, b.check) })
	if list.size == 0 {
		return nil
	}
	return &list
}
