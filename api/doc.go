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
// Long requests end with the request's context: give the http.Server a BaseContext that ends when the server is told to
// stop.
package api
