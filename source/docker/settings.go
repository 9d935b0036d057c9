package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/spelling"
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
	// Reason is the reason why it was left out, or the way in which it counts.
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

// settings are a container's settings: koine.* labels by the text after the prefix, and Registrator's SERVICE_* in the
// environment and the labels, lower-cased, for the container and for single ports.
type settings struct {
	// registrator is set if the environment's meta is read, too, and ports are Registrator's.
	registrator bool
	koine       map[string]setting
	service     map[string]setting
	ports       map[uint16]map[string]setting
	// besidesName is set if there is a setting of Registrator's besides SERVICE_NAME.
	besidesName bool
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

// read sorts the environment and the labels of a container. Labels take precedence over the environment.
func read(env []string, labels map[string]string, registrator bool) *settings {
	s := &settings{
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

// keepService sorts one SERVICE_ setting. Of a variable that is not read, only the name is kept.
func (s *settings) keepService(v setting) {
	k, ok := parseServiceKey(v.label)
	isFree := ok && free(k.key)
	if ok && (k.ofPort || k.key != "name" && (v.kind == "label" || !isFree)) {
		s.besidesName = true
	}
	if v.kind == "env" && !s.registrator && (isFree || !ok) {
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
		like := strings.ToUpper(spelling.Closest(k.key, serviceKeys))
		if like != "" {
			like = ": did you mean " + v.label[:len(v.label)-len(k.key)] + like + "?"
		}
		s.warn(v.label, "no such setting of a check%s", like)
	default:
		s.of(k)[k.key] = v
	}
}

// bounded counts a setting, and reports whether it is within the limits.
func (s *settings) bounded(v setting) bool {
	if s.count++; s.count > maxSettings {
		return false
	}
	if len(v.label) > maxKey || len(v.value) > catalog.MaxText {
		s.warn(v.label[:min(len(v.label), maxKey)], "longer than %d bytes", catalog.MaxText)
		return false
	}
	return true
}

// of returns the map that holds the settings of a key's port, or of the container.
func (s *settings) of(k serviceKey) map[string]setting {
	if !k.ofPort {
		return s.service
	}
	if s.ports[k.port] == nil {
		s.ports[k.port] = make(map[string]setting)
	}
	return s.ports[k.port]
}

func (s *settings) hint(format string, args ...any) {
	if len(s.hints) < maxHints {
		s.hints = append(s.hints, fmt.Sprintf(format, args...))
	}
}

// warn records a setting that is left out, once.
func (s *settings) warn(label, format string, args ...any) {
	s.note(Warning{Label: label, Reason: fmt.Sprintf(format, args...)})
}

// doubt records a setting that counts in another way than it says, once.
func (s *settings) doubt(label, format string, args ...any) {
	s.note(Warning{Label: label, Reason: fmt.Sprintf(format, args...), Counts: true})
}

// maxWarning bounds each half of a warning, in bytes.
const maxWarning = 255

func shorten(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxWarning)], "") }

func (s *settings) note(w Warning) {
	w.Label, w.Reason = shorten(w.Label), shorten(w.Reason)
	if !slices.Contains(s.warnings, w) {
		s.warnings = append(s.warnings, w)
	}
}

// first returns the setting that takes precedence: koine's, the main port's, the container's.
func (s *settings) first(koine string, main uint16, service string) (setting, bool) {
	if v, ok := s.koine[koine]; ok {
		return v, true
	}
	if v, ok := s.ports[main][service]; ok {
		return v, true
	}
	v, ok := s.service[service]
	return v, ok
}

// ignored reports whether the container is not to be registered, and returns the setting that decides it.
func (s *settings) ignored() (setting, bool) {
	if v, ok := s.koine["enable"]; ok && !truth(v.value) {
		return v, true
	}
	v, ok := s.koine["ignore"]
	if !ok && !s.registrator { // in Registrator's mode each port is ignored or not
		v, ok = s.service["ignore"]
	}
	return v, ok && truth(v.value)
}

// truth reads a switch: Registrator takes any text for true, but "false" can only mean false.
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

// split is list with spaces kept, as Registrator does.
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
