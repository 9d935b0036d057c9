// Package client is the Go client of Koine's native API (/api/v1), and the home of the JSON types that the API's server
// shares with it.
//
// Its methods keep the contract of the registry: the same nouns go in, and a refusal comes back as a *catalog.Error of
// the kind that the server gave it. A server that cannot be reached is an error of KindUnavailable.
//
//	c, err := client.New(client.Config{})
//	web, err := c.Lookup(ctx, catalog.Query{Service: "web"})
//	for event, err := range c.Watch(ctx, client.WatchOptions{Services: []string{"web"}}) { … }
package client
