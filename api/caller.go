package api

import (
	"net/http"
	"net/netip"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// fromCaller returns a request whose context names the caller, so that records can name their author. The listener is
// in the context already, if the server has put it there.
func fromCaller(r *http.Request) (*http.Request, error) {
	caller := catalog.CallerOf(r.Context())
	caller.Registrant = r.Header.Get(client.HeaderRegistrant)
	if len(r.Header.Values(client.HeaderRegistrant)) > 1 {
		return r, catalog.Errorf(catalog.KindInvalid, "header %s is given twice", client.HeaderRegistrant).WithHint("send one")
	}
	if err := catalog.ValidateWord("header "+client.HeaderRegistrant, caller.Registrant); err != nil {
		return r, err
	}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		caller.From = from.Addr().Unmap()
	}
	return r.WithContext(catalog.WithCaller(r.Context(), caller)), nil
}
