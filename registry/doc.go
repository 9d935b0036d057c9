// Package registry keeps the catalog on the engine: it writes what providers declare, in groups and each under its own
// conditions, and feeds the View from the engine's watch.
//
// The records stand under "koine/", apart from every tree that a dialect shows:
//
//	koine/node/<node>            the node
//	koine/alive/<node>           the node's session, under its lease: one node failing costs this one key
//	koine/instance/<node>/<id>   an instance, under its own lease if it has one
//	koine/check/<node>/<check>   a check, its definition and last outcome, under its instance's lease
//	koine/drain/…                orders to drain: service/<service>, node/<node> or instance/<node>/<id>
//	koine/push/<node>/<check>    the status pushed for a TTL check of a node without an agent, under a lease that pushes renew
//	koine/sync/<node>            written with every change of the node's declared state, for the conditions of the next
//	koine/clock                  the time, written with every change: the store's revisions have none
//
// Names are path-escaped, those of nodes in lower case; values are JSON with a format version. Renewals of sessions and
// leases are never written.
package registry
