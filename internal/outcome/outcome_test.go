package outcome_test

import (
	"testing"

	"github.com/koine-sd/koine/internal/outcome"
)

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		run  func(t testing.TB)
		want outcome.Outcome
	}{
		{func(testing.TB) {}, outcome.Outcome{}},
		{func(t testing.TB) { t.Fatalf("no %s", "luck") }, outcome.Outcome{Fatal: "no luck"}},
		{func(t testing.TB) { t.Skipf("no %s", "root"); panic("not ended") }, outcome.Outcome{Skipped: "no root"}},
	} {
		if got := outcome.Of(t, tt.run); got != tt.want {
			t.Errorf("Of = %+v, want %+v", got, tt.want)
		}
	}
}
