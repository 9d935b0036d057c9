package main

import (
	"fmt"
	"strings"

	"github.com/koine-sd/koine/client"
	"github.com/koine-sd/koine/daemon"
)

// banner tells whoever started koine by hand what is open, and what to try next.
func banner(d *daemon.Daemon, cfg daemon.Config) string {
	var b strings.Builder
	line := func(noun, what, hint string) { fmt.Fprintf(&b, "  %-7s %-28s %s\n", noun, what, hint) }
	fmt.Fprintf(&b, "Koine is ready on node %s. Ctrl-C ends it.\n", d.Node())
	if address := d.HTTPAddr(); address != nil {
		hint := "koine services"
		if address.String() != client.DefaultAddress {
			hint = fmt.Sprintf("KOINE_HTTP=%s koine services", address)
		}
		line("HTTP", "http://"+address.String(), hint)
	}
	if address := d.DNSAddr(); address.IsValid() {
		line("DNS", address.String(), fmt.Sprintf("dig @%s -p %d NAME.service.%s", address.Addr(), address.Port(), d.Domain()))
	}
	line("Docker", docker(d, cfg), "")
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
	return trimLines(b.String())
}

func docker(d *daemon.Daemon, cfg daemon.Config) string {
	host, follows := d.DockerHost()
	switch {
	case follows:
		return host
	case cfg.Docker == daemon.Off:
		return "off"
	default:
		return "no engine found: name it with --docker"
	}
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
