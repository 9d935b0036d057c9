package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// Services returns the list of services.
func (c *Client) Services(ctx context.Context) (ServiceList, error) {
	var list ServiceList
	header, err := c.call(ctx, http.MethodGet, "/services", nil, nil, &list)
	list.Revision = revision(header)
	return list, err
}

// Lookup returns the instances of a service that a query selects. The error is of KindNotFound if the service has no
// instance at all; Index is set even then.
func (c *Client) Lookup(ctx context.Context, q catalog.Query) (Service, error) {
	return c.lookup(ctx, q, queryValues(q))
}

// LookupNear does the same as Lookup, with the instances ordered from near to far: near is a zone, region/zone, a node,
// an instance, an IP address of one, or "_self" for the caller's own place. Nearest is how many of the first to use.
// The error is of KindNotFound for a place that the server does not know, too.
func (c *Client) LookupNear(ctx context.Context, q catalog.Query, near string) (Service, error) {
	values := queryValues(q)
	values.Set("near", near)
	return c.lookup(ctx, q, values)
}

// LookupAfter does the same as Lookup once the service's index differs from index, or when wait is over; an index from
// before the store was restored or replaced is answered at once. A wait of 0 means the server's default of 5 minutes, and 10 minutes is the longest.
func (c *Client) LookupAfter(ctx context.Context, q catalog.Query, index catalog.Position, wait time.Duration) (Service, error) {
	values := queryValues(q)
	values.Set("index", index.String())
	if wait > 0 {
		values.Set("wait", wait.String())
	}
	return c.lookup(ctx, q, values)
}

func (c *Client) lookup(ctx context.Context, q catalog.Query, values url.Values) (Service, error) {
	var service Service
	if q.Service == "" {
		return service, noName("service")
	}
	header, err := c.call(ctx, http.MethodGet, pathOf("services", q.Service), values, nil, &service)
	service.Index, _ = catalog.ParsePosition(header.Get(HeaderIndex)) // an error has none, or none that can be used
	service.Revision = revision(header)
	return service, err
}

func queryValues(q catalog.Query) url.Values {
	values := url.Values{}
	for _, tag := range q.Tags {
		values.Add("tag", tag)
	}
	for key, value := range q.Meta {
		values.Add("meta", key+":"+value)
	}
	switch q.Health {
	case catalog.OnlyPassing:
		values.Set("health", "passing")
	case catalog.AnyHealth:
		values.Set("health", "any")
	}
	return values
}

// InstanceFilter selects instances of any health; empty fields select all.
type InstanceFilter struct {
	Node, Service, Source string
}

// Instances returns instances of any health.
func (c *Client) Instances(ctx context.Context, f InstanceFilter) (InstanceList, error) {
	var list InstanceList
	values := set(url.Values{}, "node", f.Node, "service", f.Service, "source", f.Source)
	header, err := c.call(ctx, http.MethodGet, "/instances", values, nil, &list)
	list.Revision = revision(header)
	return list, err
}

// set adds pairs of key and value where the value is not empty.
func set(values url.Values, pairs ...string) url.Values {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return values
}

// Instance returns one instance, its checks' outputs included. An empty node means the server's own.
func (c *Client) Instance(ctx context.Context, node, id string) (Instance, error) {
	var instance Instance
	if id == "" {
		return instance, noName("instance")
	}
	_, err := c.call(ctx, http.MethodGet, instancePath(node, id), nil, nil, &instance)
	return instance, err
}

func instancePath(node, id string, more ...string) string {
	if node == "" {
		return pathOf(append([]string{"instances", id}, more...)...)
	}
	return pathOf(append([]string{"nodes", node, "instances", id}, more...)...)
}

// Nodes returns the list of nodes.
func (c *Client) Nodes(ctx context.Context) (NodeList, error) {
	var list NodeList
	header, err := c.call(ctx, http.MethodGet, "/nodes", nil, nil, &list)
	list.Revision = revision(header)
	return list, err
}

// Node returns a node with everything on it.
func (c *Client) Node(ctx context.Context, name string) (Node, error) {
	var node Node
	if name == "" {
		return node, noName("node")
	}
	header, err := c.call(ctx, http.MethodGet, pathOf("nodes", name), nil, nil, &node)
	node.Revision = revision(header)
	return node, err
}

// CheckFilter selects checks; empty fields select all.
type CheckFilter struct {
	Status        catalog.Status
	Service, Node string
}

// Checks returns checks with their last outcome and output.
func (c *Client) Checks(ctx context.Context, f CheckFilter) (CheckList, error) {
	var list CheckList
	values := set(url.Values{}, "status", string(f.Status), "service", f.Service, "node", f.Node)
	header, err := c.call(ctx, http.MethodGet, "/checks", values, nil, &list)
	list.Revision = revision(header)
	return list, err
}

// Health returns the state of the server itself. While the server is not ready the error is of KindNotReady and names
// what it waits for.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var health Health
	_, err := c.call(ctx, http.MethodGet, "/health", nil, nil, &health)
	return health, err
}

// Explain returns, for each instance of a service, with an ID, or of a container, its state and which clients see it,
// and for what the server's host has not registered, the reason. As is the client to explain for, an instance or an IP
// address; empty means the host of the server. The error is of KindNotFound if nothing is known under that name.
func (c *Client) Explain(ctx context.Context, name, as string) (ExplanationList, error) {
	query := url.Values{"name": {name}}
	if as != "" {
		query.Set("as", as)
	}
	var list ExplanationList
	_, err := c.call(ctx, http.MethodGet, pathOf("explain"), query, nil, &list)
	return list, err
}
