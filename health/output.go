package health

import (
	"strings"
	"unicode/utf8"

	"github.com/koine-sd/koine/catalog"
)

// CutOutput returns the head of a check's output in the form in which it is stored: valid UTF-8, at most
// catalog.MaxOutput bytes, cut between two characters. Each run of bytes that are not UTF-8 becomes one replacement
// character.
func CutOutput(output string) string {
	// A few bytes beyond the limit distinguish a character that the cut splits from bytes that are no character.
	if len(output) > catalog.MaxOutput+utf8.UTFMax {
		output = output[:catalog.MaxOutput+utf8.UTFMax]
	}
	output = strings.ToValidUTF8(output, "\uFFFD")
	if len(output) <= catalog.MaxOutput {
		return output
	}
	end := catalog.MaxOutput
	for !utf8.RuneStart(output[end]) {
		end--
	}
	return output[:end]
}

// head is a writer that keeps the first bytes of what is written to it and drops the rest without an error.
type head struct {
	kept []byte
}

// headSize is the number of bytes that CutOutput looks at.
const headSize = catalog.MaxOutput + utf8.UTFMax

func (h *head) Write(p []byte) (int, error) {
	room := headSize - len(h.kept)
	h.kept = append(h.kept, p[:min(room, len(p))]...)
	return len(p), nil
}
