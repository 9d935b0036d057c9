package docker

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// replacedAfter is how long a socket must refuse connections before the log says that it may have been replaced: an engine that restarts
// is back earlier.
const replacedAfter = time.Minute

// mountHint is what to do about a socket that was replaced.
const mountHint = "if it is mounted into Koine's container, the engine may have made a new one since, which the mount does not show: " +
	"mount its directory, -v /var/run:/var/run/docker-host, with --docker unix:///var/run/docker-host/docker.sock"

// silence is what has been said of an engine that does not answer.
type silence struct {
	// since is when it was last heard of, or the start of Run if it was not heard of at all.
	since  time.Time
	heard  bool
	hinted bool
}

// silent reports in /health that the engine does not answer, for the reason given, and says once what may be the matter if its socket refuses
// connections for long.
func (s *Source) silent(q *silence, why error) {
	if s.cfg.Problem == nil || s.cfg.Missing && !q.heard && denied(s.engine.DaemonHost()) == nil {
		return // there may be no engine at all
	}
	host := s.engine.DaemonHost()
	engine := "the Docker engine"
	if s.podman.Load() {
		engine = "Podman"
	}
	what := fmt.Sprintf("%s %s has not answered since %s: its containers are shown as they were then", engine, host, q.since.UTC().Format(time.RFC3339))
	if !q.heard {
		what = fmt.Sprintf("%s %s has not answered since Koine's start at %s: %v", engine, host, q.since.UTC().Format(time.RFC3339), why)
	}
	if q.hinted || time.Since(q.since) >= replacedAfter && refuses(host) {
		if !q.hinted {
			s.log.Warn(s.theEngine()+"'s socket refuses connections", "host", host, "since", q.since, "hint", mountHint)
		}
		q.hinted = true
		what += "; its socket refuses connections: " + mountHint
	}
	s.cfg.Problem(what)
}

// refuses reports whether an engine's socket is there and nobody listens on it.
func refuses(host string) bool {
	path, local := strings.CutPrefix(host, "unix://")
	if !local {
		return false
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
