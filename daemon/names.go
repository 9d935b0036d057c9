package daemon

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/koine-sd/koine/api"
)

// guard returns the guard that keeps pages of other servers from using this one.
func (c Config) guard() (*api.Guard, error) {
	return api.NewGuard(api.GuardConfig{
		Names: append(hostNames(), c.Node), Zones: c.Domains, Hosts: c.HTTPHosts, Origins: c.CORSOrigins,
	})
}

// hostNames returns this host's name, and its full name as /etc/hosts has it. It asks no name server: the answer
// would be believed for as long as the process lives.
func hostNames() (names []string) {
	name, err := os.Hostname()
	if err != nil {
		return nil
	}
	file := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("only the file is read")
	}}
	if full, err := file.LookupCNAME(context.Background(), name); err == nil {
		names = append(names, full)
	}
	return append(names, name)
}
