// Package leak finds goroutines that outlive a test. It gives them time to end: on a busy machine the last of them may
// not have run yet.
package leak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/koine-sd/koine/internal/eventually"
)

// Main runs the tests of a package and exits, with an error if they passed and goroutines are left.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := find(eventually.Patience, options); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left when all tests have ended:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// None fails a test if there are goroutines beyond those that the options ignore.
func None(t testing.TB, options ...goleak.Option) {
	t.Helper()
	if err := find(eventually.Patience, options); err != nil {
		t.Errorf("goroutines are left: %v", err)
	}
}

// find looks until no goroutine is left, or the time is up. goleak itself looks for two seconds.
func find(within time.Duration, options []goleak.Option) (err error) {
	for end := time.Now().Add(within); ; {
		if err = goleak.Find(options...); err == nil || !time.Now().Before(end) {
			return err
		}
	}
}
