// Package spelling finds the word that a misspelt one was meant to be.
package spelling

import (
	"slices"
	"strings"
)

// tooFar is the distance from which on two words are unrelated.
const tooFar = 3

// Closest returns the known word that is closest to a misspelt one, in any letter case; "" if none is close. Of equally
// close words it is the first by the alphabet.
func Closest(word string, known []string) string {
	word = strings.ToLower(word)
	best, least := "", tooFar
	for _, name := range known {
		d := Distance(word, strings.ToLower(name), tooFar)
		if d < least || d == least && d < tooFar && name < best {
			best, least = name, d
		}
	}
	if least >= len(word) {
		return ""
	}
	return best
}

// Distance returns the number of letters to insert, remove or replace to turn a into b; limit stands for every distance
// above it. Two words of the same letters in another order have distance 1.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit
	}
	if a != b && slices.Equal(sorted(a), sorted(b)) {
		return min(1, limit)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return min(row[len(b)], limit)
}

func sorted(s string) []byte {
	letters := []byte(s)
	slices.Sort(letters)
	return letters
}
