package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// screen writes text that may end up on a terminal. Names, reasons and outputs of checks come from whatever was registered
// or probed, so no control character reaches the terminal but line feeds and tabs: with the others a text could clear the
// screen, set the window's title, or show something else than it says. They are written as \u001b is, which is valid inside
// a JSON string too. Each Write must be of whole characters.
type screen struct{ w io.Writer }

func (s screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.w, harmless(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beneath returns what a screen writes to: a command that koine runs for its user writes there itself.
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

// oneLine returns a text with all of its control characters escaped, so that it neither ends a line nor a column.
func oneLine(text string) string { return escape(text, commands) }

// commands reports whether a character has a terminal do something, rather than show it: C0, DEL and C1, the controls
// of the direction of text, and the separators of lines and paragraphs.
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
