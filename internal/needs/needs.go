// Package needs declares what tests need besides Go: a tool, a right, a feature of the kernel.
//
// A test that lacks something is skipped. With RequireAll set, as in CI, it fails instead, unless only another kernel
// could provide it. A skip because of the kernel begins with KernelMark, by which the summary of a run tells it apart.
package needs

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// RequireAll is the environment variable that, set to 1, makes everything compulsory that an image may lack.
const RequireAll = "KOINE_REQUIRE_ALL"

// KernelMark begins the reason of a skip that is due to the kernel alone.
const KernelMark = "kernel: "

// All reports whether everything that can be installed or granted is compulsory.
func All() bool { return os.Getenv(RequireAll) == "1" }

// Missing skips a test that lacks something, or fails it if everything is required.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if All() {
		t.Fatalf(RequireAll+"=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// Kernel skips a test that this kernel cannot run, whatever is installed.
func Kernel(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Skipf(KernelMark+format, args...)
}

// Tool returns the path of a program. Without it the test is skipped, or fails.
func Tool(t testing.TB, name string) string {
	t.Helper()
	for _, file := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} { // a plain user's PATH does not lead there
		if path, err := exec.LookPath(file); err == nil {
			return path
		}
	}
	Missing(t, "%s is not installed: as root on Debian, make test installs it", name)
	return ""
}

// Root skips, or fails, a test that does not run as root.
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "only root can %s", why)
	}
}

// HasIPv6 reports whether this host has an IPv6 loopback address.
func HasIPv6() bool {
	listener, err := net.Listen("tcp", "[::1]:0")
	return err == nil && listener.Close() == nil
}

// IPv6 skips a test, or fails it, if the host has no IPv6 loopback address.
func IPv6(t testing.TB) {
	t.Helper()
	if !HasIPv6() {
		Missing(t, "this host has no IPv6 loopback address")
	}
}
