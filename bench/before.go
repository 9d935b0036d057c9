package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// comparison is the figures of two binaries, measured in alternation.
type comparison struct {
	// rows are named in the order of the first table.
	rows []string
	// figures are by row, by binary (before, now), by round: all numbers of the row.
	figures map[string]*[2][][]float64
	units   map[string]string
}

// compare measures two binaries in alternation, each once in a round and first in every other round.
func compare(ctx context.Context, cfg *config) error {
	c := &comparison{figures: make(map[string]*[2][][]float64), units: make(map[string]string)}
	defer func() { c.print(os.Stdout) }()
	for round := range cfg.rounds {
		for turn := range 2 {
			which := (round + turn) % 2
			one := *cfg
			one.rounds, one.koine = 1, [2]string{cfg.before, cfg.koine}[which]
			fmt.Fprintf(os.Stderr, "bench: round %d of %d: %s\n", round+1, cfg.rounds, one.koine)
			t := &table{}
			err := t.measure(ctx, &one)
			c.add(which, t)
			if err != nil {
				return fmt.Errorf("%s: %w", one.koine, err)
			}
		}
	}
	return nil
}

// number matches a figure, but no number that is part of a name, such as p50.
var number = regexp.MustCompile(`(?:^|[ (])\d[\d,]*(?:\.\d+)?`)

// add adds the figures of a table as one more round of a binary. A row with several peers counts once.
func (c *comparison) add(which int, t *table) {
	taken := make(map[string]bool)
	for _, r := range t.rows {
		if strings.HasSuffix(r.what, " KB") { // the length of a body, which may differ
			r.what = r.what[:strings.LastIndex(r.what, ", ")]
		}
		if taken[r.what] {
			continue
		}
		taken[r.what] = true
		if c.figures[r.what] == nil {
			c.rows = append(c.rows, r.what)
			c.figures[r.what] = new([2][][]float64)
			c.units[r.what] = number.ReplaceAllStringFunc(r.koine, func(string) string { return " #" })
		}
		rounds := &c.figures[r.what][which]
		*rounds = append(*rounds, figures(r.koine))
	}
}

func figures(text string) []float64 {
	var list []float64
	for _, found := range number.FindAllString(text, -1) {
		x, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimLeft(found, " ("), ",", ""), 64)
		if err == nil {
			list = append(list, x)
		}
	}
	return list
}

// print writes for each figure its median before and now, and the median and range of the rounds' ratios, now to before.
func (c *comparison) print(out io.Writer) {
	fmt.Fprintln(out, "\n| measured | before | now | now to before, of the rounds |\n|---|---|---|---|")
	for _, what := range c.rows {
		before, now := c.figures[what][0], c.figures[what][1]
		rounds := min(len(before), len(now))
		var was, is, ratios []string
		for i := 0; rounds > 0 && i < min(len(before[0]), len(now[0])); i++ {
			a, b := column(before[:rounds], i), column(now[:rounds], i)
			list := make([]float64, rounds)
			for round := range list {
				list[round] = b[round] / a[round]
			}
			was, is = append(was, brief(median(a))), append(is, brief(median(b)))
			ratios = append(ratios, fmt.Sprintf("%.2f (%.2f to %.2f)", median(list), slices.Min(list), slices.Max(list)))
		}
		fmt.Fprintf(out, "| %s: %s | %s | %s | %s |\n", what, strings.TrimSpace(c.units[what]), strings.Join(was, "; "),
			strings.Join(is, "; "), strings.Join(ratios, "; "))
	}
}

// column returns the i-th figure of each round.
func column(rounds [][]float64, i int) []float64 {
	var list []float64
	for _, figures := range rounds {
		if i < len(figures) {
			list = append(list, figures[i])
		} else {
			list = append(list, 0)
		}
	}
	return list
}

func brief(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
