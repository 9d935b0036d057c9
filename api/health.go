package api

import (
	_ "embed"
	"net/http"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// document describes the API. It is written by hand.
//
//go:embed openapi.json
var document []byte

// health answers GET /health: 200 if this server is ready. Before that it is the error that every read gets, together with
// the server's state so far.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	state := client.Health{
		Ready: s.view.Ready(), WaitingFor: s.view.WaitingFor(), Revision: s.view.Revision(),
		Problems: s.view.Problems(),
		Age:      catalog.Duration(s.view.Age(time.Now())), Node: s.cfg.Node, Version: s.cfg.Version,
	}
	if s.cfg.Upstreams != nil {
		state.Upstreams = s.cfg.Upstreams()
	}
	if !state.Ready {
		return &unready{err: s.view.NotReady(), state: state}
	}
	return s.writeJSON(w, state)
}

// unready is the error of a server that is not ready, with its state.
type unready struct {
	err   error
	state client.Health
}

func (u *unready) Error() string { return u.err.Error() }
func (u *unready) Unwrap() error { return u.err }

// openAPI answers GET /openapi.json.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	s.write(w, document)
	return nil
}
