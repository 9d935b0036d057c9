package health

import (
	"cmp"
	"context"
	"errors"
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
		return critical("make request: %v", unwrapURL(err))
	}
	client := newClient(def)
	defer client.CloseIdleConnections()
	what := request.Method + " " + shownURL(request.URL)
	response, err := client.Do(request)
	if err != nil {
		why := reason(unwrapURL(err), def)
		if strings.HasPrefix(why, "failed to parse Location") { // net/http quotes the address, secrets included
			why = "a redirect to an address that cannot be read"
		}
		return critical("%s: %s", what, why)
	}
	defer func() { _ = response.Body.Close() }()
	output := what + ": " + response.Status
	if to, err := url.Parse(response.Header.Get("Location")); err == nil && *to != (url.URL{}) {
		output += " to " + shownURL(to)
		if response.StatusCode >= 300 && response.StatusCode < 400 { // the body of a redirect often has the whole address
			return critical("%s", output)
		}
	}
	if response.StatusCode == http.StatusSwitchingProtocols { // what follows is no body
		return critical("%s", output)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, headSize))
	if err != nil {
		return critical("%s, and then: %s\n%s", output, reason(err, def), body)
	}
	return Result{statusOf(response.StatusCode), strings.TrimSpace(output + "\n" + string(body))}
}

// shownURL returns a URL for people, without the secrets that it may have: its password, or its user if there is no
// password, the values of the query, and the fragment.
func shownURL(u *url.URL) string {
	const hidden = "xxxxx" // as in Redacted
	shown := *u
	shown.Fragment, shown.RawFragment = "", ""
	if _, ok := u.User.Password(); !ok && u.User != nil {
		shown.User = url.User(hidden)
	}
	pairs := strings.Split(u.RawQuery, "&")
	for i, pair := range pairs {
		if name, _, found := strings.Cut(pair, "="); found {
			pairs[i] = name + "=" + hidden
		} else if pair != "" {
			pairs[i] = hidden
		}
	}
	shown.RawQuery = strings.Join(pairs, "&")
	return shown.Redacted()
}

func statusOf(code int) catalog.Status {
	switch {
	case code >= 200 && code < 300:
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
		return nil, err
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
		CheckRedirect: func(next *http.Request, via []*http.Request) error { return follow(def, next, via) },
	}
}

// follow keeps a redirect as the answer if it leads to another host or exceeds the limit. On another port or by another
// scheme, another program may listen: it gets nothing that the check has for the first one.
func follow(def *catalog.Definition, next *http.Request, via []*http.Request) error {
	first := via[0]
	if def.DisableRedirects || len(via) > maxRedirects || !strings.EqualFold(next.URL.Hostname(), first.URL.Hostname()) {
		return http.ErrUseLastResponse
	}
	if next.URL.Scheme == first.URL.Scheme && portOf(next.URL) == portOf(first.URL) {
		return nil
	}
	if next.ContentLength != 0 {
		return http.ErrUseLastResponse
	}
	for name := range def.Header {
		next.Header.Del(name)
	}
	next.Host = ""                   // that of the check, if the address has no scheme
	next.Header.Del("Authorization") // of the URL's password
	next.Header.Del("Referer")       // of its query
	return nil
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// unwrapURL removes the HTTP client's wrapping of an error: method and URL, which the output names already.
func unwrapURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
