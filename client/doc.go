// Package client is the Go client of Koine's native API (/api/v1), and the home of the JSON types that the API's server
// shares with it.
//
// Its methods keep the contract of the registry: they take the same nouns, and a refusal is a *catalog.Error of the
// kind that the server gave it. If a server cannot be reached, the error is of KindUnavailable.
//
//	c, err := client.New(client.Config{})
//	web, err := c.Lookup(ctx, catalog.Query{Service: "web"})
//	for event, err := range c.Watch(ctx, client.WatchOptions{Services: []string{"web"}}) { … }
package client
