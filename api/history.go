package api

import (
	"net/http"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// history answers GET /history: what happened in a service, or to an instance.
func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "name", "since")
	if err != nil {
		return err
	}
	name := values.Get("name")
	if name == "" {
		return catalog.Errorf(catalog.KindInvalid, "whose history?").WithHint("add ?name= with a service or an instance")
	}
	if err := catalog.ValidateID("instance", name); err != nil {
		return err
	}
	since := time.Duration(0)
	if text := values.Get("since"); text != "" {
		if since, err = time.ParseDuration(text); err != nil || since <= 0 || since > catalog.MaxHistory {
			return catalog.Errorf(catalog.KindInvalid, "since %.20q is not a duration above zero and up to %v", text, catalog.MaxHistory).
				WithHint("write it as 90s or 30m")
		}
	}
	if s.cfg.Historian == nil {
		return catalog.Errorf(catalog.KindUnavailable, "this server has no history").WithHint("ask another one")
	}
	unhurried(w)
	history, err := s.cfg.Historian.History(r.Context(), name, since)
	if err != nil {
		return err
	}
	return s.writeJSON(w, history)
}
