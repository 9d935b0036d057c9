package api

import (
	_ "embed"
	"net/http"

	"github.com/koine-sd/koine/client"
)

// document describes the API. It is written by hand.
//
//go:embed openapi.json
var document []byte

// health answers GET /health: whether this server may be asked. What a server that is not ready waits for is in the error
// that every read gets.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	return s.writeJSON(w, client.Health{
		Ready: true, Revision: s.view.Revision(), Node: s.cfg.Node, Version: s.cfg.Version,
	})
}

// openAPI answers GET /openapi.json.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	s.write(w, document)
	return nil
}
