package catalog

import "testing"

func TestSpelling(t *testing.T) {
	s := &Service{Name: "frontend"}
	if got := s.Spelling(); got != "frontend" {
		t.Errorf("without instances: %q", got)
	}
	s.Endpoints = []*Endpoint{{Instance: &Instance{Service: "Frontend"}}, {Instance: &Instance{Service: "FRONTEND"}}}
	if got := s.Spelling(); got != "Frontend" {
		t.Errorf("%q", got)
	}
}
