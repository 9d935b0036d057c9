package daemon

import "golang.org/x/sys/unix"

// shares are the files that the parts of a process may have open at once, each connection and each socket being one.
type shares struct {
	// reserved is kept free of clients: for the store, the sources and the checks.
	reserved int
	// checks is how many checks may run at once, of those reserved.
	checks int
	// processes is how many processes of containers may be watched, of those reserved.
	processes int
	// http and dns bound the connections of the two listeners, forwards the queries with the upstream resolvers.
	http, dns, forwards int
}

// Bounds of the shares, however many files may be open.
const (
	leastReserved, mostReserved = 64, 8192
	leastChecks, mostChecks     = 4, 512
	leastClients, mostDNS       = 4, 1024
)

// shareDescriptors shares the files that a process may have open. A quarter is reserved, of which checks and watched
// processes have a quarter each. Of the rest, DNS has a quarter for connections and as much for queries with the upstreams,
// and HTTP has what is left.
func shareDescriptors(limit int) (s shares) {
	s.reserved = min(max(limit/4, leastReserved), mostReserved)
	s.checks = min(max(s.reserved/4, leastChecks), mostChecks)
	s.processes = s.reserved / 4
	rest := max(limit-s.reserved, 0)
	s.dns = min(max(rest/4, leastClients), mostDNS)
	s.forwards = s.dns
	s.http = max(rest-s.dns-s.forwards, leastClients)
	return s
}

// mostDescriptors stands for a limit that is not known, or that is none.
const mostDescriptors = 1 << 20

// descriptorLimit returns how many files this process may have open. Go's runtime has raised the soft limit to the hard one.
func descriptorLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return mostDescriptors
	}
	return int(min(limit.Cur, mostDescriptors))
}
