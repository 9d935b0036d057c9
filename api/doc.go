// Package api serves Koine's native API: HTTP and JSON under /api/v1, made for curl and for programs alike. The document
// at /api/v1/openapi.json describes every route.
//
// Every read is answered from the View, at the revision in X-Koine-Revision. A View that is not ready is 503 with
// Retry-After, never an empty answer. What was computed from a service's snapshot hangs on that snapshot and dies with
// it, so a lookup that many make costs one encoding.
//
// A read with ?index=N blocks until the index of what was asked for is not N. A watch is one long response of events,
// each of them the whole present state of one service; it is level-triggered: a reader that is slow misses intermediate
// states, never the last one, and nothing is queued for it.
//
// Requests that wait end with Stop: a blocked read gets 503, a watch a last line that names the reason, and then its
// connection is aborted, so that no client takes its end for the end of an answer. Requests that were taken before are
// finished: shut the http.Server down after Stop, and end their contexts only when that takes too long.
package api
