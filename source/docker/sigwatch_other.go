//go:build !linux

package docker

import (
	"context"
	"errors"
)

// signalKernel does nothing: engines of other systems run containers in a virtual machine.
type signalKernel struct{}

func (*signalKernel) open() error       { return errors.ErrUnsupported }
func (*signalKernel) usable() bool      { return false }
func (*signalKernel) put(process) error { return errors.ErrUnsupported }
func (*signalKernel) remove(uint32)     {}

func (*signalWatch) run(context.Context, *inbox) {}
