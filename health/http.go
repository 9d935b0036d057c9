package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

const (
	maxRedirects      = 5
	maxResponseHeader = 64 << 10
)

func probeHTTP(ctx context.Context, def *catalog.Definition) Result {
	request, err := newRequest(ctx, def)
	if err != nil {
		return critical("%v", err)
	}
	client := newClient(def)
	defer client.CloseIdleConnections()
	what := request.Method + " " + request.URL.Redacted()
	response, err := client.Do(request)
	if err != nil {
		return critical("%s: %s", what, reason(unwrapURL(err), def))
	}
	defer func() { _ = response.Body.Close() }()
	// The status has arrived, so the instance answers: a body that breaks off does not change that.
	body, _ := io.ReadAll(io.LimitReader(response.Body, headSize))
	output := what + ": " + response.Status
	if to := response.Header.Get("Location"); to != "" {
		output += " to " + to
	}
	return Result{statusOf(response.StatusCode), strings.TrimSpace(output + "\n" + string(body))}
}

func statusOf(code int) catalog.Status {
	switch {
	case code < 300:
		return catalog.Passing
	case code == http.StatusTooManyRequests:
		return catalog.Warning
	}
	return catalog.Critical
}

func newRequest(ctx context.Context, def *catalog.Definition) (*http.Request, error) {
	method := def.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, def.HTTP, strings.NewReader(def.Body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("User-Agent", "koine-health")
	request.Header.Set("Accept", "text/plain, text/*, */*")
	for name, values := range def.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	return request, nil
}

// newClient returns a client for one run: a connection that an earlier run left open would hide a listener that is gone.
func newClient(def *catalog.Definition) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives:      true,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxResponseHeader,
			TLSClientConfig:        tlsConfig(def),
		},
		CheckRedirect: followSameHost,
	}
}

// followSameHost keeps a redirect as the answer if it leads to another host or exceeds the limit.
func followSameHost(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || !strings.EqualFold(next.URL.Hostname(), via[0].URL.Hostname()) {
		return http.ErrUseLastResponse
	}
	return nil
}

// unwrapURL removes the HTTP client's wrapping of an error: method and URL, which the output names already.
func unwrapURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
