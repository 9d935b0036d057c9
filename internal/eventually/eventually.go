// Package eventually waits in tests for conditions that must come true. Its one bound is generous: a machine that is
// busy with other programs must never be mistaken for a fault.
package eventually

import (
	"context"
	"testing"
	"time"
)

// Patience bounds every wait of a test. It is no claim about speed: a condition that does not hold by then will not
// hold.
const Patience = 5 * time.Minute

// The pauses between two looks at a condition: short at first, longer when it takes long, so that many waits at once do
// not keep a busy machine busier.
const (
	firstPause = time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// True waits until a condition holds, and ends the test if it does not within Patience.
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for pause := firstPause; !holds(); pause = min(2*pause, lastPause) {
		if !time.Now().Before(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
		<-time.After(pause)
	}
}

// Receive returns the next value of a channel, or its zero value if the channel is closed. It ends the test if nothing
// comes within Patience.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case value := <-from:
		return value
	case <-timer.C:
		t.Fatalf("not within %v: %s", Patience, what)
		panic("unreachable")
	}
}

// Context returns the test's context with Patience as its timeout, for calls that could hang.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}
