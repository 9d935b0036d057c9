package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// TestCheckMessagesPrecedeTimes: what a check said stands before the times of its runs, whether it passes or fails.
func TestCheckMessagesPrecedeTimes(t *testing.T) {
	for _, test := range []struct {
		stored, latest string
		status         catalog.Status
	}{
		{"200 OK", "200 OK", catalog.Passing}, {"", "503 Service Unavailable", catalog.Critical}, {"200 OK", "dial: refused", catalog.Critical},
	} {
		c := &client.CheckStatus{Run: &catalog.CheckRun{Output: test.latest, Status: test.status, Last: time.Now(), Next: time.Now()}}
		c.ID, c.Status, c.Output = "web:check", test.status, test.stored
		var text strings.Builder
		describeCheck(func(what, format string, args ...any) { fmt.Fprintf(&text, what+" "+format+"\n", args...) }, c)
		said, times := strings.Index(text.String(), test.latest), strings.Index(text.String(), "last outcome")
		if said < 0 || times < said || strings.Count(text.String(), test.latest) != 1 {
			t.Errorf("%+v:\n%s", test, text.String())
		}
	}
}
