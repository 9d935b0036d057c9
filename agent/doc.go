// Package agent looks after one host: it gathers what the host's sources have found into the node's declared state,
// keeps the catalog like it, keeps the node's session alive, and has the host's checks run.
//
// All of it is level-triggered. A source always declares the whole of what it has found; the agent always declares the
// whole of its node; whatever somebody else changes in the node's own records is put right by the next comparison.
package agent
