package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/engine"
	"github.com/koine-sd/koine/internal/durable"
)

// idFile keeps the node's identity in the data directory.
const idFile = "node-id"

// identity is the node's identity.
type identity struct {
	id string
	// ended reports whether a session of the identity is known to be that of a process that has ended, opened takes note of a session
	// of this process; either may be nil.
	ended  func(session string) bool
	opened func(session string)
	// release gives the identity up.
	release func()
}

// identity returns the node's identity: kept with its data, or derived from the host if it has no data directory. Until
// it is released no other process on this host has the same identity: two processes that declare one node would undo
// each other's work.
func (d *Daemon) identity(dir string, temporary bool) (node *identity, err error) {
	elsewhere := d.cfg.storeElsewhere()
	node = &identity{release: func() {}}
	switch {
	case temporary && elsewhere:
		node.id = temporaryID(d.cfg.Node)
		node.release, err = claimID(d.cfg.Node, node.id, d.cfg.Engine)
		return node, err
	case temporary:
		node.id = temporaryID(d.cfg.Node)
		return node, nil
	case elsewhere: // an embedded engine has claimed its directory
		claim, err := engine.Claim(dir)
		if err != nil {
			return nil, err
		}
		node.release = func() { claim.Close() }
		former := &formerSession{dir: dir, logger: d.cfg.Logger}
		node.ended, node.opened = former.ended, former.keep
	default: // only the process that has claimed the store declares its node
		node.ended = func(string) bool { return true }
	}
	if node.id, err = d.keptID(filepath.Join(dir, idFile)); err != nil {
		node.release()
	}
	return node, err
}

// keptID returns the identity that a file keeps, or a new one that it keeps from now on. A crash of the machine may
// have left an incomplete one, or none; it is then lost.
func (d *Daemon) keptID(path string) (string, error) {
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read node id: %w", err)
	}
	if id, invalid := uuid.Parse(strings.TrimSpace(string(kept))); err == nil && invalid == nil {
		return id.String(), nil
	}
	if err == nil {
		d.cfg.Logger.Warn("the node's identity is damaged: this host gets another one", "file", path)
	}
	id := uuid.NewString()
	if err := durable.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep node id: %w", err)
	}
	return id, nil
}

// machineID is the file in which systemd keeps the host's identity.
const machineID = "/etc/machine-id"

// temporaryID is the node's identity without a data directory: the same for the same host and name, so that a process
// that comes back is recognized.
func temporaryID(node string) string {
	machine, err := os.ReadFile(machineID)
	if err != nil || len(strings.TrimSpace(string(machine))) == 0 {
		return uuid.NewString()
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, append(machine, node...)).String()
}

// claimID reserves a derived identity on one store for this process, by the names of sockets in Linux's abstract namespace:
// the names disappear with the process, however it ends, and leave no files. There is one for each member that the store's
// address names, because two processes that name one member use one store, whatever else they name and in which order.
// Processes in other network namespaces are not seen.
func claimID(node, id, store string) (release func(), err error) {
	if runtime.GOOS != "linux" {
		return func() {}, nil
	}
	var claims []net.Listener
	release = func() {
		for _, claim := range claims {
			claim.Close()
		}
	}
	members := engine.Members(strings.ToLower(store))
	slices.Sort(members) // of two processes that start together one gets all of its claims
	for _, member := range slices.Compact(members) {
		claim, err := net.Listen("unix", "@koine-node-"+uuid.NewSHA1(uuid.NameSpaceOID, []byte(id+" "+member)).String())
		if err != nil {
			release()
			return nil, catalog.Errorf(catalog.KindConflict, "node %s is run by another process of this host", node).
				WithHint("give this one another name with --node")
		}
		claims = append(claims, claim)
	}
	return release, nil
}
