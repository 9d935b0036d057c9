package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// screen writes text that may end up on a terminal. Names, reasons and outputs of checks come from registrations and
// probes, so no control character except line feeds and tabs may reach the terminal: others could clear the screen, set
// the window's title, or make the text appear different from its content. They are written as \u001b is, which is valid
// inside a JSON string too. Each Write must be of whole characters.
type screen struct{ w io.Writer }

func (s screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.w, harmless(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beneath returns the writer under a screen: a command that koine runs for its user writes there itself.
func beneath(w io.Writer) io.Writer {
	if s, ok := w.(screen); ok {
		return s.w
	}
	return w
}

// harmless returns a text with its control characters escaped, except for line feeds and tabs.
func harmless(text string) string {
	return escape(text, func(r rune) bool { return r != '\n' && r != '\t' && commands(r) })
}

// oneLine returns a text with all of its control characters escaped, so that it ends neither a line nor a column.
func oneLine(text string) string { return escape(text, commands) }

// commands reports whether a character makes a terminal act, rather than show it: C0, DEL and C1, the controls of the
// direction of text, and the separators of lines and paragraphs.
func commands(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

func escape(text string, wanted func(rune) bool) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, wanted) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text { // bytes that are not UTF-8 come as U+FFFD
		if wanted(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
