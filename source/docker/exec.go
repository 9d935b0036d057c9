package docker

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
)

// Containers runs the commands of checks inside an engine's containers. Its methods may be called from any goroutine.
type Containers struct {
	engine *negotiator

	// stuck are the commands that did not end in time, by container and words: an engine offers no way to end one. It
	// holds at most one for each check, because none is started again before it has ended.
	mu    sync.Mutex
	stuck map[string]string
}

// NewContainers returns an Execer for the containers of the engine at an address as in Config.Host, which is asked for again when the
// engine cannot be reached. It does not connect; the error is of catalog.KindInvalid.
func NewContainers(locate func() string) (*Containers, error) {
	engine, err := newNegotiator(func() (*client.Client, error) { return dial(locate()) })
	if err != nil {
		return nil, err
	}
	return &Containers{engine: engine, stuck: make(map[string]string)}, nil
}

// Close closes the connections to the engine.
func (c *Containers) Close() error { return c.engine.now.Load().Close() }

// Exec runs a command in a container as the container's user, and returns its exit code and the head of its output. If
// the context ends first, the error is the context's; the command goes on in its container, and is not run again there
// until it has ended.
func (c *Containers) Exec(ctx context.Context, container string, args []string) (code int, output []byte, err error) {
	key := container + "\x00" + strings.Join(args, "\x00")
	if err := c.unstick(ctx, key); err != nil {
		return 0, nil, err
	}
	created, err := c.engine.now.Load().ExecCreate(ctx, container, client.ExecCreateOptions{Cmd: args, AttachStdout: true, AttachStderr: true})
	if err != nil {
		if cerrdefs.IsInvalidArgument(err) || client.IsErrConnectionFailed(err) { // another engine may have taken the place of the one before
			c.engine.again()
		}
		return 0, nil, fmt.Errorf("create command: %w", err)
	}
	output, err = c.attach(ctx, created.ID)
	if ctx.Err() != nil {
		c.mu.Lock()
		c.stuck[key] = created.ID
		c.mu.Unlock()
		return 0, output, ctx.Err()
	}
	if err != nil {
		return 0, output, fmt.Errorf("run command: %w", err)
	}
	ended, err := c.engine.now.Load().ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	if err != nil {
		return 0, output, fmt.Errorf("look at command: %w", err)
	}
	return ended.ExitCode, output, nil
}

// unstick fails while an earlier run of the command goes on.
func (c *Containers) unstick(ctx context.Context, key string) error {
	c.mu.Lock()
	id, ok := c.stuck[key]
	c.mu.Unlock()
	if !ok {
		return nil
	}
	if earlier, err := c.engine.now.Load().ExecInspect(ctx, id, client.ExecInspectOptions{}); err == nil && earlier.Running {
		return catalog.Errorf(catalog.KindConflict, "the command of an earlier run has not ended")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stuck, key)
	return nil
}

// attach starts a command and reads its output until it ends.
func (c *Containers) attach(ctx context.Context, id string) ([]byte, error) {
	attached, err := c.engine.now.Load().ExecAttach(ctx, id, client.ExecAttachOptions{})
	if err != nil {
		return nil, err
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close) // the connection is not the client's any more, and ignores contexts
	defer stop()
	var head headWriter
	_, err = stdcopy.StdCopy(&head, &head, attached.Reader)
	return head.kept, err
}

// headWriter keeps the first bytes written to it and drops the rest.
type headWriter struct{ kept []byte }

var _ io.Writer = (*headWriter)(nil)

func (h *headWriter) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(catalog.MaxOutput-len(h.kept), len(p))]...)
	return len(p), nil
}
