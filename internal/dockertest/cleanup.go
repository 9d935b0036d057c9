package dockertest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/koine-sd/koine/internal/eventually"
)

// destroy ends the engine and removes everything that it left: containers, shims, mounts, cgroups, files.
func (e *Engine) destroy() {
	if e.t.Failed() {
		e.t.Logf("the end of dockerd's log:\n%s", e.logTail())
	}
	if e.process != nil {
		e.removeContainers()
		if err := e.end(syscall.SIGTERM); err != nil {
			e.t.Log(err)
		}
	}
	e.client.Close()
	for _, pid := range append(cgroupProcesses(e.cgroup), processesOf(e.dir)...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			e.t.Logf("kill process %d: %v", pid, err)
		}
	}
	e.settle()
	unmountBelow(e.dir)
	removeCgroup(e.cgroup)
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Logf("remove the engine's directory: %v", err)
	}
}

// settle waits until the killed processes are gone.
func (e *Engine) settle() {
	deadline := time.Now().Add(eventually.Patience)
	for len(cgroupProcesses(e.cgroup))+len(processesOf(e.dir)) > 0 {
		if time.Now().After(deadline) {
			e.t.Logf("processes of the engine still run after %v", eventually.Patience)
			return
		}
		<-time.After(pollInterval)
	}
}

func (e *Engine) removeContainers() {
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Patience)
	defer cancel()
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		e.t.Logf("list containers: %v", err)
		return
	}
	for _, c := range list.Items {
		if _, err := e.client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			e.t.Logf("remove container %s: %v", c.ID, err)
		}
	}
}

// processesOf returns the processes whose command line names a path below dir: shims and containerd.
func processesOf(dir string) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cgroupRoots returns the mount points of cgroups: one for version 2, one per controller for version 1.
func cgroupRoots() []string {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
		return []string{root}
	}
	roots, _ := filepath.Glob(filepath.Join(root, "*"))
	return roots
}

// cgroupProcesses returns the processes in a cgroup and those below it: the containers of one engine.
func cgroupProcesses(name string) (pids []int) {
	for _, root := range cgroupRoots() {
		_ = filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			text, _ := os.ReadFile(path)
			for line := range strings.FieldsSeq(string(text)) {
				if pid, err := strconv.Atoi(line); err == nil && pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// removeCgroup removes the directories of a cgroup, the deepest first.
func removeCgroup(name string) {
	for _, root := range cgroupRoots() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			_ = os.Remove(dir)
		}
	}
}

// unmountBelow unmounts what is mounted below dir, the last mounted first.
func unmountBelow(dir string) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	for _, line := range slices.Backward(strings.Split(string(text), "\n")) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			_ = unix.Unmount(fields[4], unix.MNT_DETACH)
		}
	}
}
