package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// describeCheck writes a check's status, its output, and its last run where that adds to it.
func describeCheck(line func(what, format string, args ...any), c *client.CheckStatus) {
	line("check", "%s is %s since %s", c.ID, c.Status, localTime(c.Since))
	more := func(text string) {
		if text = strings.TrimSpace(text); text == "" {
			return
		}
		for each := range strings.SplitSeq(text, "\n") {
			line("", "%s", each)
		}
	}
	more(c.Output)
	if c.Run == nil {
		if c.Runner != "" && c.Type != catalog.CheckDocker { // Docker runs HEALTHCHECK itself
			more("run by the Koine of node " + c.Runner)
		}
		return
	}
	if c.Run.Output != c.Output && !strings.HasSuffix(c.Output, c.Run.Output) {
		more(c.Run.Output)
	}
	more(runsOf(c))
	if c.Run.Damped {
		more(fmt.Sprintf("it flaps, and is held critical: flap score %.0f %%", c.Run.FlapScore))
	} else if c.Run.FlapScore > 0 {
		more(fmt.Sprintf("flap score %.0f %%", c.Run.FlapScore))
	}
}

// runsOf returns the times of a check's last and next run.
func runsOf(c *client.CheckStatus) string {
	text := "no outcome yet"
	if !c.Run.Last.IsZero() {
		text = fmt.Sprintf("last outcome %s at %s", c.Run.Status, localTime(c.Run.Last))
	}
	if c.Run.Next.IsZero() {
		return text
	}
	next := clock(c.Run.Next)
	if c.Type == catalog.CheckTTL {
		return text + "; critical from " + next + " on if none is pushed"
	}
	return text + "; runs again at " + next
}

// atTime returns a known time in parentheses.
func atTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return " (" + localTime(at) + ")"
}
