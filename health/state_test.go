package health

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

// letters are the statuses in the tables below.
var letters = map[rune]catalog.Status{'p': catalog.Passing, 'w': catalog.Warning, 'c': catalog.Critical}

func letter(s catalog.Status) string { return string(s[0]) }

func TestStepThresholds(t *testing.T) {
	thresholds := catalog.Definition{
		Type: catalog.CheckHTTP, SuccessBeforePassing: 2, FailuresBeforeWarning: 2, FailuresBeforeCritical: 3,
	}
	tests := []struct {
		name    string
		def     catalog.Definition
		begin   string
		results string
		// want is the status after each result, in upper case where that is a change.
		want string
	}{
		{"no thresholds", catalog.Definition{Type: catalog.CheckTCP}, "c", "ppwpcwcp", "PpWPCWCP"},
		{"critical needs failures in a row", thresholds, "p", "cpccpp", "pppWwP"},
		{"by warning to critical", thresholds, "p", "cccc", "pWCc"},
		{"passing needs successes in a row", thresholds, "c", "pcpp", "cccP"},
		{"a failure never makes it better", thresholds, "c", "pcc", "ccc"},
		{"a warning leaves critical as slowly", thresholds, "c", "wwp", "cWP"},
		{"a warning counts towards leaving critical", thresholds, "c", "wp", "cP"},
		{"a warning ends a row of failures", thresholds, "p", "cwcc", "pWww"},
		{"a warning warns at once", thresholds, "p", "w", "W"},
		{"critical without a warning before", catalog.Definition{FailuresBeforeCritical: 2}, "p", "cc", "pC"},
		{"warning beyond critical never shows", catalog.Definition{FailuresBeforeWarning: 5}, "p", "c", "C"},
		{"ttl has no thresholds", catalog.Definition{
			Type: catalog.CheckTTL, SuccessBeforePassing: 3, FailuresBeforeCritical: 3,
		}, "c", "pcw", "PCW"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := State{Status: letters[rune(tt.begin[0])], Settled: true}
			got := ""
			for _, r := range tt.results {
				var changed bool
				s, changed = s.Step(&tt.def, Result{Status: letters[r]}, time.Unix(0, 0))
				if changed {
					got += strings.ToUpper(letter(s.Status))
				} else {
					got += letter(s.Status)
				}
			}
			if got != tt.want {
				t.Errorf("results %s: got %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

func TestStepKeepsOutputAndTimeOfTheChange(t *testing.T) {
	def := &catalog.Definition{Type: catalog.CheckTCP}
	t1, t2, t3 := time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)
	s := State{Status: catalog.Critical, Settled: true}
	s, _ = s.Step(def, Result{catalog.Passing, "first"}, t1)
	s, changed := s.Step(def, Result{catalog.Passing, "second"}, t2)
	want := State{Status: catalog.Passing, Output: "first", OutputAt: t1, Since: t1, Ran: t2, Successes: 2, Settled: true}
	if diff := cmp.Diff(want, s); changed || diff != "" {
		t.Errorf("changed %v, state (-want +got):\n%s", changed, diff)
	}
	s, changed = s.Step(def, Result{"odd", "third"}, t3)
	want = State{Status: catalog.Critical, Output: "third", OutputAt: t3, Since: t3, Ran: t3, Failures: 1, Settled: true, Flaps: 1}
	if diff := cmp.Diff(want, s); !changed || diff != "" {
		t.Errorf("changed %v, state (-want +got):\n%s", changed, diff)
	}
}

// TestWordsOfAnApplication holds that what a TTL check's application says shows without a change of status, at most once in
// outputEvery, and that a polled check's output does not.
func TestWordsOfAnApplication(t *testing.T) {
	for _, kind := range []catalog.CheckType{catalog.CheckTTL, catalog.CheckHTTP} {
		def := &catalog.Definition{Type: kind}
		begin := time.Unix(0, 0)
		s, _ := State{Status: catalog.Passing, Settled: true}.Step(def, Result{catalog.Warning, "disk 91%"}, begin)
		for _, tt := range []struct {
			after  time.Duration
			output string
			want   string
		}{
			{time.Second, "disk 92%", "disk 91%"}, {outputEvery - 1, "disk 95%", "disk 91%"}, {outputEvery, "disk 91%", "disk 91%"},
			{outputEvery + 1, "disk 97%", "disk 97%"}, {2 * outputEvery, "disk 98%", "disk 97%"}, {3 * outputEvery, "disk 99%", "disk 99%"},
		} {
			if kind != catalog.CheckTTL {
				tt.want = "disk 91%"
			}
			var changed bool
			before := s.Output
			s, changed = s.Step(def, Result{catalog.Warning, tt.output}, begin.Add(tt.after))
			if s.Output != tt.want || changed != (s.Output != before) || !s.Since.Equal(begin) {
				t.Errorf("%s, %q after %v: changed %v, state %+v; want %q", kind, tt.output, tt.after, changed, s, tt.want)
			}
		}
	}
}

func TestBegin(t *testing.T) {
	now, then := time.Unix(100, 0), time.Unix(50, 0)
	tests := []struct {
		name  string
		check catalog.Check
		want  State
	}{
		{"nothing said", catalog.Check{}, State{Status: catalog.Critical, Since: now, OutputAt: now, Begun: now}},
		{"initial status", catalog.Check{Definition: catalog.Definition{InitialStatus: catalog.Warning}},
			State{Status: catalog.Warning, Since: now, OutputAt: now, Begun: now}},
		{"stored status wins", catalog.Check{Status: catalog.Passing, Output: "ok", Since: then,
			Definition: catalog.Definition{InitialStatus: catalog.Warning}},
			State{Status: catalog.Passing, Output: "ok", Since: then, OutputAt: now, Begun: now, Settled: true, Stored: true}},
		{"stored without an output", catalog.Check{Status: catalog.Passing, Since: then},
			State{Status: catalog.Passing, Since: then, OutputAt: now, Begun: now, Settled: true, Stored: true}},
		{"initial status, stored", catalog.Check{Status: catalog.Passing, Since: then,
			Definition: catalog.Definition{InitialStatus: catalog.Passing}},
			State{Status: catalog.Passing, Since: then, OutputAt: now, Begun: now, Settled: true}},
		{"stored without a reason", catalog.Check{Status: catalog.Critical, Since: then},
			State{Status: catalog.Critical, Since: then, OutputAt: now, Begun: now}},
		{"stored for another definition", catalog.Check{Status: catalog.Passing, Output: catalog.OutputChanged, Since: then},
			State{Status: catalog.Passing, Output: catalog.OutputChanged, Since: then, OutputAt: now, Begun: now}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Begin(&tt.check, now)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStoredStatusHoldsUntilTheFirstRun holds that the first run after a start decides, whatever the thresholds, and that they
// count from then on.
func TestStoredStatusHoldsUntilTheFirstRun(t *testing.T) {
	thresholds := catalog.Definition{Type: catalog.CheckHTTP, SuccessBeforePassing: 2, FailuresBeforeWarning: 2, FailuresBeforeCritical: 3}
	for _, tt := range []struct{ stored, results, want string }{
		{"p", "cpp", "CcP"}, {"p", "pccc", "ppWC"}, {"p", "wp", "WP"}, {"c", "pcc", "PpW"}, {"c", "cpp", "ccP"}, {"w", "cp", "Cc"},
	} {
		s := Begin(&catalog.Check{Status: letters[rune(tt.stored[0])], Output: "of before", Definition: thresholds}, time.Unix(0, 0))
		got := ""
		for _, r := range tt.results {
			var changed bool
			s, changed = s.Step(&thresholds, Result{Status: letters[r]}, time.Unix(1, 0))
			if changed {
				got += strings.ToUpper(letter(s.Status))
			} else {
				got += letter(s.Status)
			}
		}
		if got != tt.want {
			t.Errorf("stored %s, results %s: got %s, want %s", tt.stored, tt.results, got, tt.want)
		}
	}
}

func TestFirstOutcomeIsAChange(t *testing.T) {
	def := &catalog.Definition{Type: catalog.CheckTCP, FailuresBeforeCritical: 2}
	s := Begin(&catalog.Check{Definition: catalog.Definition{InitialStatus: catalog.Passing}}, time.Unix(0, 0))
	s, changed := s.Step(def, Result{catalog.Critical, "refused"}, time.Unix(1, 0))
	if changed || s.Output != "" {
		t.Fatalf("a failure below the threshold was reported with a passing status: %+v", s)
	}
	s, changed = s.Step(def, Result{catalog.Passing, "ok"}, time.Unix(2, 0))
	if !changed || s.Output != "ok" || !s.Since.Equal(time.Unix(0, 0)) {
		t.Fatalf("first outcome: changed %v, state %+v", changed, s)
	}
	if _, changed = s.Step(def, Result{catalog.Passing, "ok"}, time.Unix(3, 0)); changed {
		t.Fatal("the second outcome of the same status is a change too")
	}
}

func TestCutOutput(t *testing.T) {
	long := strings.Repeat("a", catalog.MaxOutput-1)
	tests := []struct{ name, in, want string }{
		{"short", "all good", "all good"},
		{"exact", long + "b", long + "b"},
		{"cut", long + "bcd", long + "b"},
		{"cut before a character that does not fit", long + "é", long},
		{"character split by the reader", (long + "日本")[:catalog.MaxOutput+1], long},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"replacement does not fit", long + "\xff", long},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := CutOutput(tt.in); got != tt.want {
				t.Errorf("got %d bytes ending in %q, want %d", len(got), got[max(0, len(got)-8):], len(tt.want))
			}
		})
	}
}

func FuzzCutOutput(f *testing.F) {
	f.Add("short", 0)
	f.Add("é\xff日", catalog.MaxOutput-3)
	f.Fuzz(func(t *testing.T, tail string, pad int) {
		in := strings.Repeat("x", min(max(pad, 0), catalog.MaxOutput+8)) + tail
		out := CutOutput(in)
		if len(out) > catalog.MaxOutput || !utf8.ValidString(out) {
			t.Fatalf("%d bytes, valid %v", len(out), utf8.ValidString(out))
		}
		if utf8.ValidString(in) && !strings.HasPrefix(in, out) {
			t.Fatal("output is not the head of what came in")
		}
	})
}
