package api

import (
	"net/http"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// historyParams name a service or an instance, and the time to go back.
type historyParams struct {
	Name  string
	Since time.Duration
}

func (p *historyParams) fields() []field {
	return []field{text("name", &p.Name), {name: "since", set: func(value string) (err error) {
		if p.Since, err = time.ParseDuration(value); err != nil || p.Since <= 0 || p.Since > catalog.MaxHistory {
			return catalog.Errorf(catalog.KindInvalid, "since %.20q is not a duration above zero and up to %v", value, catalog.MaxHistory).
				WithHint("write it as 90s or 30m")
		}
		return nil
	}}}
}

// missing is the error for a parameter that a route cannot do without.
func missing(name, what string) error {
	return catalog.Errorf(catalog.KindInvalid, "missing parameter %q", name).WithHint("add ?%s= with %s", name, what)
}

// history answers GET /history: what happened in a service, or to an instance.
func (s *Server) history(w http.ResponseWriter, r *http.Request, p historyParams) error {
	if p.Name == "" {
		return missing("name", "a service or an instance")
	}
	if err := catalog.ValidateID("instance", p.Name); err != nil {
		return err
	}
	if s.cfg.Historian == nil {
		return catalog.Errorf(catalog.KindUnavailable, "this server has no history").WithHint("ask another one")
	}
	unhurried(w)
	history, err := s.cfg.Historian.History(r.Context(), p.Name, p.Since)
	s.hurried(w)
	if err != nil {
		return err
	}
	return s.writeJSON(w, history)
}
