package main

import "syscall"

// childAttributes gives a command a process group of its own. If koine is killed and cannot pass on signals, the kernel
// sends one that stops the command: in koine's group it would have got the signal itself.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
