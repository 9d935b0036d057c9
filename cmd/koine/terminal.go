package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminal is the terminal that controls this process, as a job of a shell. All methods are safe on nil, which stands
// for none.
type terminal struct{ file *os.File }

// openTerminal returns nil if no terminal controls this process.
func openTerminal() *terminal {
	file, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return &terminal{file}
}

func (t *terminal) close() {
	if t != nil {
		t.file.Close()
	}
}

// has reports whether a process group is in the foreground: it gets the keys, and Ctrl-C.
func (t *terminal) has(group int) bool {
	if t == nil {
		return false
	}
	foreground, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == group
}

// give puts a process group into the foreground. From the background it must be called with SIGTTOU ignored.
func (t *terminal) give(group int) {
	if t != nil {
		_ = unix.IoctlSetPointerInt(int(t.file.Fd()), unix.TIOCSPGRP, group) // a terminal that is gone has no foreground
	}
}
