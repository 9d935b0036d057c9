package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// Limits on what is read of one container.
const (
	maxSettings = 1024
	maxKey      = 255
	maxUnread   = 8
	maxHints    = 16
)

// Warning is a part of a container's settings that was left out, or counts in another way than it says.
type Warning struct {
	// Label is the label or environment variable.
	Label string `json:"label"`
	// Reason says what is wrong with it.
	Reason string `json:"reason"`
	// Counts is set if the setting counts nevertheless.
	Counts bool `json:"counts,omitempty"`
}

// String returns a warning in one line.
func (w Warning) String() string { return w.Label + ": " + w.Reason }

// setting is a value with the label or variable that it came from.
type setting struct {
	value string
	label string
	// kind is "label" or "env".
	kind string
}

// said is what a container says of itself: koine.* labels by what follows the prefix, and Registrator's SERVICE_* in the
// environment and the labels, lower-cased, for the container and for single ports.
type said struct {
	// registrator is set if the environment's meta is read, too, and ports are Registrator's.
	registrator bool
	koine       map[string]setting
	service     map[string]setting
	ports       map[uint16]map[string]setting
	// unread are the names of SERVICE_ variables that are not read, because they would be meta.
	unread   []string
	warnings []Warning
	// hints are for explaining the container; they are not logged.
	hints []string
	count int
}

const (
	servicePrefix = "SERVICE_"
	koinePrefix   = "koine."
)

// read sorts the environment and the labels of a container. Labels count more than the environment.
func read(env []string, labels map[string]string, registrator bool) *said {
	s := &said{
		registrator: registrator,
		koine:       make(map[string]setting), service: make(map[string]setting), ports: make(map[uint16]map[string]setting),
	}
	for _, pair := range env {
		if key, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(key, servicePrefix) {
			s.keepService(setting{value: value, label: key, kind: "env"})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		v := setting{value: labels[key], label: key, kind: "label"}
		switch {
		case strings.HasPrefix(key, koinePrefix):
			if s.bounded(v) {
				s.koine[key[len(koinePrefix):]] = v
			}
		case strings.HasPrefix(key, servicePrefix):
			s.keepService(v)
		}
	}
	if s.count > maxSettings {
		s.warn("SERVICE_*", "%d settings: the first %d are read", s.count, maxSettings)
	}
	return s
}

// keepService sorts one SERVICE_ setting. Nothing of a variable that is not read is kept but its name.
func (s *said) keepService(v setting) {
	k, ok := parseServiceKey(v.label)
	isFree := ok && free(k.key)
	if v.kind == "env" && !s.registrator && (isFree || !ok || !known(k.key)) {
		if isFree && len(s.unread) < maxSettings {
			s.unread = append(s.unread, v.label)
		}
		return
	}
	switch {
	case !s.bounded(v):
	case !ok:
		s.warn(v.label, "not of the form SERVICE_<name> or SERVICE_<port>_<name>")
	case isFree && secret(k.key, v.value):
		s.warn(v.label, "may be a secret and is not kept: the label koine.meta.%s says that it is none", k.key)
	case !isFree && !known(k.key):
		s.warn(v.label, "no such setting of a check")
	default:
		s.of(k)[k.key] = v
	}
}

// bounded counts a setting, and reports whether it is within the limits.
func (s *said) bounded(v setting) bool {
	if s.count++; s.count > maxSettings {
		return false
	}
	if len(v.label) > maxKey || len(v.value) > catalog.MaxText {
		s.warn(v.label[:min(len(v.label), maxKey)], "longer than %d bytes", catalog.MaxText)
		return false
	}
	return true
}

// of returns where settings of a key's port, or of the container, are kept.
func (s *said) of(k serviceKey) map[string]setting {
	if !k.ofPort {
		return s.service
	}
	if s.ports[k.port] == nil {
		s.ports[k.port] = make(map[string]setting)
	}
	return s.ports[k.port]
}

func (s *said) hint(format string, args ...any) {
	if len(s.hints) < maxHints {
		s.hints = append(s.hints, fmt.Sprintf(format, args...))
	}
}

// warn notes what is left out, once.
func (s *said) warn(label, format string, args ...any) {
	s.note(Warning{Label: label, Reason: fmt.Sprintf(format, args...)})
}

// doubt notes what counts in another way than it says, once.
func (s *said) doubt(label, format string, args ...any) {
	s.note(Warning{Label: label, Reason: fmt.Sprintf(format, args...), Counts: true})
}

// maxWarning bounds each half of a warning, in bytes.
const maxWarning = 255

func shorten(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxWarning)], "") }

func (s *said) note(w Warning) {
	w.Label, w.Reason = shorten(w.Label), shorten(w.Reason)
	if !slices.Contains(s.warnings, w) {
		s.warnings = append(s.warnings, w)
	}
}

// first returns the setting that counts most: koine's, the main port's, the container's.
func (s *said) first(koine string, main uint16, service string) (setting, bool) {
	if v, ok := s.koine[koine]; ok {
		return v, true
	}
	if v, ok := s.ports[main][service]; ok {
		return v, true
	}
	v, ok := s.service[service]
	return v, ok
}

// ignored reports whether the container is not to be registered, and which setting says so.
func (s *said) ignored() (setting, bool) {
	if v, ok := s.koine["enable"]; ok && !truth(v.value) {
		return v, true
	}
	v, ok := s.koine["ignore"]
	if !ok && !s.registrator { // in Registrator's mode each port is ignored or not
		v, ok = s.service["ignore"]
	}
	return v, ok && truth(v.value)
}

// truth reads a switch: Registrator takes any text for true, but who writes "false" means it.
func truth(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "0", "f", "false", "n", "no", "off":
		return false
	}
	return true
}

// list splits a comma-separated list in which "\," is a comma. Empty items are dropped, the order is kept.
func list(text string) (items []string) {
	for _, item := range split(text) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// split is list without a word about spaces: Registrator keeps them.
func split(text string) (items []string) {
	var item strings.Builder
	flush := func() {
		if item.Len() > 0 {
			items = append(items, item.String())
		}
		item.Reset()
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ',':
			item.WriteByte(',')
			i++
		case text[i] == ',':
			flush()
		default:
			item.WriteByte(text[i])
		}
	}
	flush()
	return items
}
