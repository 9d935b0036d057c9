package health

import (
	"context"
	"errors"

	"github.com/koine-sd/koine/catalog"
)

// Execer runs a command inside a container. It returns the command's exit code and the head of its output, standard
// output and error interleaved as written. An error means that the command could not be run, or did not end before the
// context.
type Execer interface {
	Exec(ctx context.Context, container string, args []string) (code int, output []byte, err error)
}

func probeExec(ctx context.Context, in Execer, def *catalog.Definition) Result {
	if in == nil {
		return critical("this koine follows no container engine, so it cannot run a command in container %s", def.Container)
	}
	code, output, err := in.Exec(ctx, def.Container, def.Args)
	switch {
	case err != nil && ctx.Err() != nil:
		return critical("command in container %s %s", def.Container, reason(errors.Join(err, ctx.Err()), def))
	case err != nil:
		return critical("container %s: %v", def.Container, err)
	case code == 0:
		return Result{catalog.Passing, string(output)}
	case code == 1:
		return Result{catalog.Warning, string(output)}
	case len(output) > 0:
		return Result{catalog.Critical, string(output)}
	}
	return critical("command ended with exit code %d", code)
}

// mayExec reports whether a command may run inside a container. It cannot leave the container, so the container's
// operator may define how to check it: its own labels always may. Any other exec check is as dangerous as a script,
// because it runs in a container of another owner.
func (r *Runner) mayExec(check *catalog.Check) bool {
	if r.cfg.EnableScripts {
		return true
	}
	if r.cfg.View == nil || check.Instance == "" {
		return false
	}
	e := r.cfg.View.Instance(check.Node, check.Instance)
	return e != nil && e.Owner == catalog.Owner{Kind: catalog.OwnerContainer, ID: check.Container}
}
