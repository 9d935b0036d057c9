package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// DefaultAddress is the address at which a server's native API listens by default.
const DefaultAddress = "127.0.0.1:8500"

// defaultMaxResponse bounds one answer, or one event of a watch, in bytes.
const defaultMaxResponse = 64 << 20

// Config is the server of a Client, and how to talk to it.
type Config struct {
	// Address is host:port or an http or https URL; empty means DefaultAddress.
	Address string
	// HTTPClient makes the requests; nil means one without a timeout: contexts bound the calls. It follows redirections of
	// reads only.
	HTTPClient *http.Client
	// MaxResponse bounds one answer, or one event of a watch, in bytes; 0 means 64 MiB. A larger one is an error.
	MaxResponse int64
}

// Client talks to one server. It is safe for use by many goroutines at once.
type Client struct {
	base        string
	http        *http.Client
	maxResponse int64
}

// New returns a Client. It opens no connection yet.
func New(cfg Config) (*Client, error) {
	base, err := baseURL(cfg.Address)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base, http: readsFollow(cfg.HTTPClient), maxResponse: cfg.MaxResponse}
	if c.maxResponse <= 0 {
		c.maxResponse = defaultMaxResponse
	}
	return c, nil
}

// readsFollow returns a copy of an HTTP client, or of the zero one for nil, that follows redirections of reads only. Of a
// redirected write Go makes a GET, whose answer would pass for that of the write.
func readsFollow(given *http.Client) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	}
	follow := c.CheckRedirect
	if follow == nil {
		follow = atMostTen
	}
	c.CheckRedirect = func(request *http.Request, via []*http.Request) error {
		if method := via[0].Method; method != http.MethodGet && method != http.MethodHead {
			return http.ErrUseLastResponse
		}
		return follow(request, via)
	}
	return &c
}

// atMostTen follows as many redirections as Go does by itself.
func atMostTen(_ *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// baseURL returns the URL that paths of the API are appended to.
func baseURL(address string) (string, error) {
	if address == "" {
		address = DefaultAddress
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Hostname() == "" && u.Port() == "" {
		return "", badAddress(address)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return "", badAddress(address)
	}
	if u.Port() == "" && u.Scheme == "http" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":8500"
	}
	if u.Hostname() == "" {
		u.Host = "127.0.0.1:" + u.Port()
	}
	return strings.TrimSuffix(u.String(), "/") + "/api/v1", nil
}

func badAddress(address string) error {
	return catalog.Errorf(catalog.KindInvalid, "%q is not the address of a server", redacted(address)).
		WithHint("write it as host:port or http://host:port")
}

// redacted returns a URL for messages: without the password that it may have, whether or not it can be parsed.
func redacted(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return address
	}
	user, _, _ := strings.Cut(rest[:at], ":")
	return scheme + "://" + user + ":xxxxx" + rest[at:]
}

// pathOf joins segments into a path below the API's root. Dots are escaped where they stand alone, or they would be taken
// for directories.
func pathOf(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		escaped := url.PathEscape(s)
		if strings.Trim(s, ".") == "" {
			escaped = strings.ReplaceAll(s, ".", "%2E")
		}
		b.WriteString("/" + escaped)
	}
	return b.String()
}

// call makes one request. It encodes in as the body unless that is nil, and decodes the answer into out. The header is
// returned even if the server refused.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	response, err := c.send(ctx, method, path, query, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := c.read(ctx, response)
	if err != nil {
		return response.Header, err
	}
	if response.StatusCode != http.StatusOK {
		return response.Header, refusal(response.StatusCode, response.Header, answer)
	}
	if !ours(response.Header) {
		return response.Header, foreign(response.StatusCode)
	}
	return response.Header, c.decode(answer, out)
}

// decode decodes an answer, which is one JSON object. An empty answer, or null, is an error: it would otherwise pass for an
// empty result.
func (c *Client) decode(answer []byte, out any) error {
	err := json.Unmarshal(answer, out)
	if err == nil && !bytes.HasPrefix(bytes.TrimSpace(answer), []byte("{")) {
		err = errors.New("not an object")
	}
	if err != nil {
		return catalog.Errorf(catalog.KindUnavailable, "answer of %s is not the JSON that was expected: %v", c.server(), err).
			WithHint("is this the address of a Koine server, and of this version?")
	}
	return nil
}

// server returns the URL of the server without its password, for messages.
func (c *Client) server() string { return redacted(strings.TrimSuffix(c.base, "/api/v1")) }

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body io.Reader, accept string) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", accept)
	if registrant := catalog.CallerOf(ctx).Registrant; registrant != "" {
		request.Header.Set(HeaderRegistrant, registrant)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return response, nil
}

// read reads a whole answer of bounded size.
func (c *Client) read(ctx context.Context, response *http.Response) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(response.Body, c.maxResponse+1))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if int64(len(answer)) > c.maxResponse {
		return nil, fmt.Errorf("answer of %s has more than %d bytes", c.base, c.maxResponse)
	}
	return answer, nil
}

// unreachable is the error for a server that did not answer, or not to the end.
func (c *Client) unreachable(ctx context.Context, err error) error {
	late, slow := errors.AsType[net.Error](err)
	if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) || cause == nil && slow && late.Timeout() {
		return &lateError{catalog.Errorf(catalog.KindUnavailable, "no answer from %s in time", c.server()).
			WithHint("koine status shows whether it is ready")}
	} else if cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return catalog.Errorf(catalog.KindUnavailable, "no answer from %s: %v", c.server(), err).
		WithHint("start a server with koine dev, or name a running one with --http or KOINE_HTTP")
}

// revision returns the revision that the header of an answer names; 0 if it names none.
func revision(header http.Header) uint64 {
	n, err := strconv.ParseUint(header.Get(HeaderRevision), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
