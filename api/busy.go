package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// errBusy is the error for connections above the limit.
var errBusy = catalog.Errorf(catalog.KindUnavailable, "too many connections").
	WithHint("close some, or try again; the server's log names the limit")

// Busy returns a whole answer, as it stands on the wire, for a client whose connection is refused.
func (s *Server) Busy() []byte {
	body, _ := json.Marshal(errorBody(errBusy)) // strings can always be encoded
	var answer bytes.Buffer
	fmt.Fprintf(&answer, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"Retry-After: 1\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n%s: %d\r\n\r\n%s\n",
		len(body)+1, client.HeaderRevision, s.view.Revision(), body)
	return answer.Bytes()
}
