package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/koine-sd/koine/internal/needs"
)

// slowest is how many packages the summary names.
const slowest = 10

// logged is a line that a test logged, after its place in the source.
var logged = regexp.MustCompile(`(?m)^\s*\S+\.go:\d+: (.*)$`)

// reason returns why a test was skipped: the line that it logged last.
func reason(text string) string {
	found := logged.FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		return "no reason given"
	}
	return strings.TrimSpace(found[len(found)-1][1])
}

// avoidable returns the skips that another image, and not another kernel, would have avoided.
func (r *run) avoidable() []skip {
	return slices.DeleteFunc(slices.Clone(r.skips), func(s skip) bool { return strings.HasPrefix(s.reason, needs.KernelMark) })
}

// summary returns the text for the end of the run.
func (r *run) summary(allRequired bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The slowest of %d packages:\n", len(r.results))
	for _, pkg := range r.bySeconds() {
		fmt.Fprintf(&b, "  %6.1fs  %s\n", r.results[pkg].seconds, pkg)
	}
	packages := r.failedPackages()
	fmt.Fprintf(&b, "Failed: %d tests, %d packages\n", len(r.failed), len(packages))
	for _, n := range r.failed {
		fmt.Fprintf(&b, "  %s %s\n", n.pkg, n.test)
	}
	for _, pkg := range packages {
		if !slices.ContainsFunc(r.failed, func(n name) bool { return n.pkg == pkg }) {
			fmt.Fprintf(&b, "  %s\n", pkg)
		}
	}
	fmt.Fprintf(&b, "Skipped: %d tests\n", len(r.skips))
	slices.SortFunc(r.skips, func(a, b skip) int { return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test)) })
	for _, s := range r.skips {
		fmt.Fprintf(&b, "  %s %s: %s\n", s.pkg, s.test, s.reason)
	}
	if n := len(r.avoidable()); allRequired && n > 0 {
		fmt.Fprintf(&b, "%s=1: only the kernel may be a reason to skip, and %d were for another\n", needs.RequireAll, n)
	}
	fmt.Fprintf(&b, "Tests: %d run, %d failed, %d skipped\n", r.ended-len(r.skips), len(r.failed), len(r.skips))
	return b.String()
}

// failedPackages returns the packages that failed, with a test or before one could run.
func (r *run) failedPackages() (list []string) {
	for pkg, result := range r.results {
		if result.action == "fail" {
			list = append(list, pkg)
		}
	}
	slices.Sort(list)
	return list
}

// bySeconds returns the slowest packages, the slowest first.
func (r *run) bySeconds() []string {
	list := slices.SortedFunc(maps.Keys(r.results), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.results[b].seconds, r.results[a].seconds), cmp.Compare(a, b))
	})
	return list[:min(slowest, len(list))]
}
