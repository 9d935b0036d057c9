package client

import (
	"context"
	"net/http"

	"github.com/koine-sd/koine/catalog"
)

// State returns the state of the server itself. Unlike Health, it returns no error for a server that is not ready: the
// answer says what the server waits for.
func (c *Client) State(ctx context.Context) (Health, error) {
	var body struct {
		Health
		ErrorBody
	}
	response, err := c.send(ctx, http.MethodGet, "/health", nil, nil, "application/json")
	if err != nil {
		return body.Health, err
	}
	defer response.Body.Close()
	answer, err := c.read(ctx, response)
	if err != nil {
		return body.Health, err
	}
	header := response.Header
	if response.StatusCode == http.StatusOK && !ours(header) {
		return body.Health, foreign(response.StatusCode)
	}
	decoded := c.decode(answer, &body)
	notReady := response.StatusCode == http.StatusServiceUnavailable && body.Error.Code == catalog.KindNotReady.String()
	if response.StatusCode != http.StatusOK && (!notReady || !ours(header)) {
		return Health{}, refusal(response.StatusCode, header, answer)
	}
	if decoded != nil {
		return Health{}, decoded
	}
	return body.Health, nil
}
