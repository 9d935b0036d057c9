//go:build !unix

package health

import "os/exec"

// ownGroup does nothing where there are no process groups: only the command itself is killed when its time is up.
func ownGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
