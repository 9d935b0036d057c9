package client

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/koine-sd/koine/catalog"
)

// refusal makes an error of an answer that is not OK. Something between client and server may have written it, so its
// status counts where its body is not ours.
func refusal(status int, answer []byte) error {
	var body ErrorBody
	if err := json.Unmarshal(answer, &body); err != nil || body.Error.Code == "" {
		return catalog.Errorf(kindOfStatus(status), "answer %d %s", status, http.StatusText(status)).
			WithHint("is this the address of a Koine server?")
	}
	kind, known := kindOfCode(body.Error.Code)
	if !known {
		kind = kindOfStatus(status)
	}
	return &catalog.Error{Kind: kind, Message: body.Error.Message, Hint: body.Error.Hint}
}

func kindOfCode(code string) (catalog.Kind, bool) {
	for kind := catalog.KindInternal; kind <= catalog.KindUnavailable; kind++ {
		if kind.String() == code {
			return kind, true
		}
	}
	return catalog.KindInternal, false
}

func kindOfStatus(status int) catalog.Kind {
	switch status {
	case http.StatusNotFound:
		return catalog.KindNotFound
	case http.StatusConflict:
		return catalog.KindConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return catalog.KindDenied
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return catalog.KindUnavailable
	}
	if status >= 400 && status < 500 {
		return catalog.KindInvalid
	}
	return catalog.KindInternal
}

// noName is the error of a call that names nothing.
func noName(noun string) error {
	return fmt.Errorf("name the %s: %w", noun, catalog.Errorf(catalog.KindInvalid, "empty name"))
}
