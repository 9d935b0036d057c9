package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// timed records the deadline that is in force when a handler returns: net/http writes the end of the answer after that.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *timed) SetWriteDeadline(at time.Time) error { d.deadline = at; return nil }
func (d *timed) SetReadDeadline(time.Time) error     { return nil }

// TestEndsHaveADeadline holds that a client that takes nothing cannot keep its connection with an answer that is complete.
func TestEndsHaveADeadline(t *testing.T) {
	_, s := newOffline(t)
	for _, request := range []struct{ method, path string }{
		{http.MethodGet, "/services"},
		{http.MethodGet, "/events?last=10"},
		{http.MethodHead, "/events?follow"},
		{http.MethodHead, "/watch?service=web"},
	} {
		w := &timed{httptest.NewRecorder(), time.Now().Add(time.Minute)} // as http.Server sets it
		s.Handler().ServeHTTP(w, httptest.NewRequest(request.method, root+request.path, nil))
		if w.Code != 200 || w.deadline.IsZero() {
			t.Errorf("%s %s: status %d, deadline %v", request.method, request.path, w.Code, w.deadline)
		}
	}
}
