package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	what, koine, peer string
	// ratio is Koine's rate over the peer's; 0 if it has no meaning.
	ratio float64
	// target is the least acceptable ratio; 0 if there is none.
	target float64
	// verdict replaces the comparison of the ratio with its target.
	verdict string
}

// table is all measurements.
type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// print writes the table in Markdown.
func (t *table) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s, %d cores, load %s, %s\n\n", time.Now().UTC().Format(time.DateTime), runtime.NumCPU(),
		loadAverage(), runtime.Version())
	fmt.Fprintln(out, "| measured | Koine | peer | ratio | target |\n|---|---|---|---|---|")
	for _, r := range t.rows {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", r.what, r.koine, r.peer, ratioText(r.ratio), r.judge())
	}
}

func ratioText(ratio float64) string {
	if ratio == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

func (r *row) judge() string {
	switch {
	case r.verdict != "":
		return r.verdict
	case r.target == 0:
		return ""
	case r.ratio >= r.target:
		return fmt.Sprintf("≥ %.2f met", r.target)
	default:
		return fmt.Sprintf("≥ %.2f **not met**", r.target)
	}
}

// atMost compares a figure with its upper target.
func atMost(got, most float64, unit string) string {
	if got <= most {
		return fmt.Sprintf("≤ %g %s met", most, unit)
	}
	return fmt.Sprintf("≤ %g %s **not met**", most, unit)
}

// thousands writes a number with a comma between groups of three digits.
func thousands(x float64) string {
	digits := strconv.FormatInt(int64(x+0.5), 10)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
