package dockertest

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The test binary runs three times: outside, where it only waits and cleans up; as the first process of the new
// namespaces, where it only reaps; and inside, where it runs the tests.
const (
	envStage  = "KOINE_DOCKERTEST_STAGE"
	envDir    = "KOINE_DOCKERTEST_DIR"
	envReason = "KOINE_DOCKERTEST_REASON"

	stageInit   = "init"
	stageInside = "inside"
)

// Tests are the tests that Main runs; *testing.M is one.
type Tests interface{ Run() (code int) }

// Main runs the tests of a package in namespaces of their own, if it is root and an engine could be started, and exits
// with their outcome. Otherwise it runs them in the current namespaces.
func Main(m Tests) {
	switch os.Getenv(envStage) {
	case stageInit:
		os.Exit(runInit())
	case stageInside:
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	code, err := runNamespaced()
	if err != nil {
		_ = os.Setenv(envReason, err.Error()) // the name and the value are valid
		code = m.Run()
	}
	os.Exit(code)
}

// MainHostPIDs is Main without a namespace of processes: what a test asks the kernel about processes is answered in the host's numbers.
// The tests' own cleanup must end what they started.
func MainHostPIDs(m Tests) {
	if os.Getenv(envStage) == stageInside {
		if err := bringLoopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "dockertest:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the tests die with the thread that started them
	dir, err := os.MkdirTemp("", "koine")
	if err == nil {
		inner := again(dir)
		inner.Env = append(inner.Env, envStage+"="+stageInside)
		inner.SysProcAttr.Cloneflags = 0
		if err = inner.Start(); err == nil {
			_ = inner.Wait() // its exit code says it
			_ = os.RemoveAll(dir)
			if inner.ProcessState.ExitCode() == 0 {
				os.Exit(0)
			}
			os.Exit(1)
		}
	}
	_ = os.Setenv(envReason, err.Error()) // the name and the value are valid
	os.Exit(m.Run())
}

// runNamespaced starts this program again in new namespaces, waits for it and removes what it left.
func runNamespaced() (int, error) {
	// The first process inside dies with the thread that started it.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "koine")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)

	inner := again(dir)
	if err := inner.Start(); err != nil {
		return 0, fmt.Errorf("make namespaces: %w", err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-interrupted:
			_ = inner.Process.Kill() // it has ended if it cannot be killed
		case <-ended:
		}
	}()
	err = inner.Wait()
	removeLeftCgroups(dir)
	if err == nil {
		return 0, nil
	}
	return max(inner.ProcessState.ExitCode(), 1), nil
}

// again returns the command that runs this program as the first process of new namespaces.
func again(dir string) *exec.Cmd {
	inner := exec.Command("/proc/self/exe", os.Args[1:]...)
	inner.Args[0] = os.Args[0]
	inner.Stdin, inner.Stdout, inner.Stderr = os.Stdin, os.Stdout, os.Stderr
	inner.Env = append(os.Environ(), envStage+"="+stageInit, envDir+"="+dir)
	inner.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID,
		// Unshareflags makes the mounts private too; Cloneflags would not.
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	return inner
}

// removeLeftCgroups removes the cgroups of engines whose tests were cut short.
func removeLeftCgroups(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		removeCgroup("koine-test-" + filepath.Base(dir) + "-" + entry.Name())
	}
}

// runInit prepares the namespaces, starts the tests and reaps all orphans until the tests have ended.
func runInit() int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "dockertest:", err)
		return 1
	}
	_ = os.Setenv(envStage, stageInside) // the name and the value are valid
	child, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "dockertest: start the tests:", err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fmt.Fprintln(os.Stderr, "dockertest: wait:", err)
			return 1
		case pid == child && status.Exited():
			return status.ExitStatus()
		case pid == child:
			fmt.Fprintln(os.Stderr, "dockertest: the tests ended by", status.Signal())
			return 1
		}
	}
}

// prepare mounts the new process tree and brings the loopback interface up.
func prepare() error {
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return bringLoopbackUp()
}

func bringLoopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}
