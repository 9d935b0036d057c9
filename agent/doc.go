// Package agent looks after one host: it gathers what the host's sources have found into the node's declared state,
// keeps the catalog equal to it, keeps the node's session alive, and has the host's checks run.
//
// All of it is level-triggered. A source always declares everything that it has found; the agent always declares all of
// its node; if another writer changes the node's own records, the next comparison corrects them.
package agent
