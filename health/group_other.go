//go:build !unix

package health

import "os/exec"

// ownGroup does nothing on systems without process groups: only the command itself is killed when its time is up.
func ownGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
