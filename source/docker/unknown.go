package docker

import (
	"maps"
	"slices"
	"strings"

	"github.com/koine-sd/koine/internal/spelling"
)

// labelWords are the labels koine.*, without that prefix; those with a dot at the end have a further part.
var labelWords = []string{
	"name", "id", "tags", "weight", "min_healthy", "dns_limit", "enable", "ignore", "zone", "region", "drain", "network", "ports",
	metaPrefix, checkPrefix,
}

// The labels koine.* that have a further part.
const (
	metaPrefix  = "meta."
	checkPrefix = "check."
)

// unknown warns of koine labels that mean nothing: most are misspelt.
func (s *settings) unknown(labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(s.koine)) {
		switch {
		case s.registrator && (key == "network" || key == "ports"):
			s.warn(koinePrefix+key, "has no effect with --registrator")
		case slices.Contains(labelWords, key), strings.HasPrefix(key, metaPrefix), strings.HasPrefix(key, checkPrefix):
		default:
			s.warn(koinePrefix+key, "no such label%s", didYouMean(koinePrefix, key, labelWords))
		}
	}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if key, ok := almostKoine(label); ok && s.bounded(setting{label: label}) {
			s.warn(label, "no label of Koine%s", didYouMean(koinePrefix, key, labelWords))
		}
	}
}

// almostKoine reports whether a label would be one of Koine's except for its letter case or a separator, and returns what follows
// the prefix.
func almostKoine(label string) (key string, ok bool) {
	const name = len(koinePrefix) - 1
	if len(label) <= len(koinePrefix) || strings.HasPrefix(label, koinePrefix) ||
		!strings.EqualFold(label[:name], koinePrefix[:name]) || !strings.ContainsRune(".-_:/", rune(label[name])) {
		return "", false
	}
	key = label[name+1:]
	return key, closest(key, labelWords) != ""
}

// didYouMean returns the part of a warning that names the known word that is closest to an unknown one, if one is close.
func didYouMean(prefix, word string, known []string) string {
	if like := closest(word, known); like != "" {
		return ": did you mean " + prefix + like + "?"
	}
	return ""
}

// closest returns the known word that is closest to a word of labels. Of one with parts the first is compared, and the rest is
// kept.
func closest(word string, known []string) string {
	if like := spelling.Closest(word, known); like != "" && !strings.HasSuffix(like, ".") {
		return like
	}
	first, rest, parts := strings.Cut(word, ".")
	if !parts || rest == "" {
		return ""
	}
	if like := spelling.Closest(first+".", known); strings.HasSuffix(like, ".") {
		return like + rest
	}
	return ""
}
