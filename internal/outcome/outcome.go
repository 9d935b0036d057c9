// Package outcome runs a helper of tests and records how it ended its test, for the tests of such helpers.
package outcome

import (
	"fmt"
	"runtime"
	"testing"
)

// Outcome is the end of a test, if it was ended: by Fatalf or by Skipf, with this text.
type Outcome struct{ Fatal, Skipped string }

// Of runs a function on a test of its own that the function may end.
func Of(t testing.TB, run func(t testing.TB)) Outcome {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r)
	}()
	<-done
	return r.outcome
}

type recorder struct {
	testing.TB
	outcome Outcome
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.outcome.Fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.outcome.Skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
