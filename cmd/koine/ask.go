package main

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/daemon"
)

// asking makes a command that talks to a running server.
func asking(cmd *cobra.Command, ask func(cmd *cobra.Command, c *client.Client, args []string) error) *cobra.Command {
	addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(cmd)
		if err != nil {
			return err
		}
		return ask(cmd, c, args)
	}
	return cmd
}

// newClient returns a client of the server that --http names.
func newClient(cmd *cobra.Command) (*client.Client, error) {
	value, err := cmd.Flags().GetString("http")
	if err != nil {
		return nil, err
	}
	address, err := serverAddress(value)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Address: address, HTTPClient: &http.Client{Transport: patient(answerTimeout)}})
}

// answerTimeout bounds the wait for the beginning of an answer. A server that waits for its store answers within 30 s.
const answerTimeout = 40 * time.Second

// patient returns a transport that waits so long at most for the beginning of each answer.
func patient(timeout time.Duration) *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = timeout
	return transport
}

// serverAddress returns the address to dial for the value of --http. A server and its clients may share one KOINE_HTTP,
// so the address that a server listens on is accepted here too.
func serverAddress(value string) (string, error) {
	if value == daemon.Off {
		return "", mistake("--http off names no server").WithHint("name a running one with --http host:port, or KOINE_HTTP")
	}
	if ip, err := netip.ParseAddr(value); err == nil {
		return net.JoinHostPort(dialable(ip.String()), defaultPort), nil
	}
	if u, err := url.Parse(value); err == nil && strings.Contains(value, "://") && dialable(u.Hostname()) != u.Hostname() {
		u.Host = net.JoinHostPort(dialable(u.Hostname()), cmp.Or(u.Port(), defaultPort))
		return u.String(), nil
	}
	if host, port, err := net.SplitHostPort(value); err == nil && host != "" {
		return net.JoinHostPort(dialable(host), port), nil
	}
	return value, nil
}

// defaultPort is the port of client.DefaultAddress.
const defaultPort = "8500"

// dialable returns a host at which to reach a server that listens on the given one: loopback if that stands for all
// addresses. Servers in Go that listen on :: are reached by IPv4 too.
func dialable(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}
