package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koine-sd/koine/internal/pause"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if !pause.For(t.Context(), time.Minute) || time.Since(start) != time.Minute {
			t.Errorf("waited %v, want the minute to its end", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if pause.For(ctx, time.Minute) || time.Since(start) != time.Second {
			t.Errorf("waited %v, want the second that the context lasts", time.Since(start))
		}
	})
}
