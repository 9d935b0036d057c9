//go:build !linux

package docker

import (
	"context"
	"errors"
)

// poller does nothing: engines of other systems run containers in a virtual machine, whose processes are invisible.
type poller struct{}

func (*poller) open() error                    { return nil }
func (*poller) usable() bool                   { return false }
func (*poller) watch(string, int) (int, error) { return -1, errors.ErrUnsupported }
func (*poller) readable(int) bool              { return false }
func (*poller) forget(int)                     {}

func (*pidWatch) run(context.Context) {}
