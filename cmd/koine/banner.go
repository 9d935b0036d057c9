package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/daemon"
)

// banner returns a text for a person who started koine by hand: the open listeners, and commands to try next. The log reports
// that the server is ready.
func banner(ctx context.Context, d *daemon.Daemon, cfg daemon.Config) string {
	var b strings.Builder
	line := func(noun, what, hint string) { fmt.Fprintf(&b, "  %-7s %-28s %s\n", noun, what, hint) }
	fmt.Fprintf(&b, "Koine runs on node %s. Ctrl-C ends it.\n", d.Node())
	if address := d.HTTPAddr(); address != nil {
		at := dialableAddress(address.String())
		hint := "koine services"
		if at != client.DefaultAddress {
			hint = fmt.Sprintf("KOINE_HTTP=%s koine services", quoted(at))
		}
		line("HTTP", "http://"+at+everywhere(address.String()), hint)
	}
	if address := d.DNSAddr(); address.IsValid() {
		at := dialable(address.Addr().String())
		line("DNS", net.JoinHostPort(at, strconv.Itoa(int(address.Port())))+everywhere(address.String()),
			fmt.Sprintf("dig @%s -p %d NAME.service.%s", at, address.Port(), d.Domain()))
	}
	if bridges := d.Bridges(ctx); len(bridges) > 0 {
		line("", strings.Join(bridges, ", "), "docker run --dns "+bridges[0]+" ...")
	}
	engine := "Docker"
	if d.Podman() {
		engine = "Podman"
	}
	line(engine, dockerLine(d, cfg), "")
	if cfg.ConfigDir != "" {
		line("Files", cfg.ConfigDir, "")
	}
	switch {
	case cfg.Engine != "" && cfg.Engine != "embedded":
		line("Store", cfg.Engine, "")
	case cfg.DataDir == "":
		line("Store", "temporary", "ends with this process: keep it with --data-dir")
	default:
		line("Store", cfg.DataDir, "")
	}
	for _, problem := range d.View().Problems() {
		fmt.Fprintf(&b, "  %-7s %s\n", "Problem", problem)
	}
	return trimLines(b.String())
}

// dialableAddress returns the address at which this host reaches a listener.
func dialableAddress(listener string) string {
	host, port, err := net.SplitHostPort(listener)
	if err != nil {
		return listener
	}
	return net.JoinHostPort(dialable(host), port)
}

// everywhere returns a note for a listener on all addresses.
func everywhere(listener string) string {
	if dialableAddress(listener) == listener {
		return ""
	}
	return " (all addresses)"
}

// quoted returns an address for use in a shell, where brackets are a pattern.
func quoted(address string) string {
	if strings.Contains(address, "[") {
		return "'" + address + "'"
	}
	return address
}

func dockerLine(d *daemon.Daemon, cfg daemon.Config) string {
	host, follows := d.DockerHost()
	switch {
	case follows && !d.DockerAnswers():
		return host + ", which does not answer: it is followed when it does"
	case follows:
		return host
	case cfg.Docker == daemon.Off:
		return "off"
	default:
		return "no engine found: it is followed once it is there; name another one with --docker"
	}
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
