package health

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

func TestFlapScore(t *testing.T) {
	always := Flaps(0)
	for range 3 * flapWindow {
		always = always.Next(true)
	}
	tests := []struct {
		name  string
		flaps Flaps
		want  float64
	}{
		{"never", 0, 0}, {"the newest run", 1, 6}, {"the oldest run", 1 << (flapWindow - 1), 4},
		{"forgotten", Flaps(1 << (flapWindow - 1)).Next(false), 0}, {"always", always, 100},
	}
	for _, tt := range tests {
		if got := tt.flaps.Score(); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: score %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestFlapScoreForgets looks at all histories of a few changes: a quiet run never raises the score, a change always does.
func TestFlapScoreForgets(t *testing.T) {
	for history := range Flaps(1 << 12) {
		f := history << (flapWindow - 12)
		if f.Next(false).Score() > f.Score() || f.Next(true).Score() <= f.Next(false).Score() {
			t.Fatalf("history %b: %v, quiet %v, changed %v", f, f.Score(), f.Next(false).Score(), f.Next(true).Score())
		}
	}
}

// steps applies results, by letters, and returns the last state and the statuses, those of a damped check in brackets.
func steps(def *catalog.Definition, s State, results string) (State, string) {
	var got strings.Builder
	for _, r := range results {
		s, _ = s.Step(def, Result{Status: letters[r], Output: "run " + string(r)}, time.Unix(0, 0))
		if s.Damped {
			got.WriteString("[" + letter(s.Status) + "]")
		} else {
			got.WriteString(letter(s.Status))
		}
	}
	return s, got.String()
}

func TestDamping(t *testing.T) {
	start := State{Status: catalog.Passing, Settled: true}
	flapping := catalog.Definition{Type: catalog.CheckTCP, FlapThreshold: 20}
	tests := []struct {
		name    string
		def     catalog.Definition
		results string
		want    string
	}{
		{"off", catalog.Definition{Type: catalog.CheckTCP}, "pcpcpcpc", "pcpcpcpc"},
		{"held from the threshold on", flapping, "pcpcpppp", "pcpc[c][c][c][c]"},
		{"and while it fails", flapping, "pcpcpc", "pcpc[c][c]"},
		{"changes between passing and warning are none", flapping, "pwpwpwpw", "pwpwpwpw"},
		{"thresholds come first", catalog.Definition{Type: catalog.CheckTCP, FlapThreshold: 20, FailuresBeforeCritical: 2},
			"pcpcpcpcpc", "pppppppppp"},
		{"the first run is no change", catalog.Definition{Type: catalog.CheckTCP, FlapThreshold: 6}, "cp", "c[c]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := steps(&tt.def, start, tt.results); got != tt.want {
				t.Errorf("results %s: got %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

func TestDampedCheckIsReleased(t *testing.T) {
	def := &catalog.Definition{Type: catalog.CheckTCP, FlapThreshold: 20}
	s, _ := steps(def, State{Status: catalog.Passing, Settled: true}, "pcpcp")
	if !s.Damped || s.Beneath != catalog.Passing || s.Status != catalog.Critical ||
		!strings.HasPrefix(s.Output, "flapping: score ") || !strings.HasSuffix(s.Output, "run p") {
		t.Fatalf("not damped: %+v", s)
	}
	runs := 0
	for s.Damped {
		s, _ = steps(def, s, "p")
		if runs++; runs > flapWindow {
			t.Fatalf("not released after %d runs: %+v", runs, s)
		}
	}
	if s.Status != catalog.Passing || s.Beneath != "" || s.Output != "run p" || s.Flaps.Score() >= 10 {
		t.Errorf("released after %d runs as %+v", runs, s)
	}
	if runs < flapWindow/2 {
		t.Errorf("released after %d runs: too soon", runs)
	}
}

func TestDampingIsTold(t *testing.T) {
	def := &catalog.Definition{Type: catalog.CheckTCP, FlapThreshold: 20}
	s, _ := steps(def, State{Status: catalog.Passing, Settled: true}, "pcpc")
	s, told := s.Step(def, Result{Status: catalog.Passing}, time.Unix(9, 0))
	if !told || !s.Since.Equal(time.Unix(0, 0)) {
		t.Errorf("a check that stays critical because it flaps: told %v, since %v", told, s.Since)
	}
	if _, told = s.Step(def, Result{Status: catalog.Passing}, time.Unix(10, 0)); told {
		t.Error("told again")
	}
}

func TestDeregisterAt(t *testing.T) {
	then, now := time.Unix(100, 0), time.Unix(500, 0)
	def := &catalog.Definition{DeregisterAfter: catalog.Duration(time.Minute)}
	tests := []struct {
		name  string
		def   *catalog.Definition
		state State
		want  time.Time
	}{
		{"off", &catalog.Definition{}, State{Status: catalog.Critical, Failures: 1, Since: now}, time.Time{}},
		{"passing", def, State{Status: catalog.Passing, Failures: 1, Since: now}, time.Time{}},
		{"no run has failed", def, State{Status: catalog.Critical, Since: then, Begun: then}, time.Time{}},
		{"failing", def, State{Status: catalog.Critical, Failures: 3, Since: now, Begun: then}, now.Add(time.Minute)},
		{"critical long before", def, State{Status: catalog.Critical, Failures: 1, Since: then, Begun: now}, now.Add(time.Minute)},
		{"flapping", def, State{Status: catalog.Critical, Failures: 1, Since: now, Damped: true}, time.Time{}},
	}
	for _, tt := range tests {
		got, ok := tt.state.DeregisterAt(tt.def)
		if !got.Equal(tt.want) || ok == tt.want.IsZero() {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, ok, tt.want)
		}
	}
}
