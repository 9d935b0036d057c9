package docker

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/koine-sd/koine/catalog"
)

// Limits on what is read of one container.
const (
	maxSettings = 1024
	maxKey      = 255
)

// Warning is a part of a container's settings that was left out.
type Warning struct {
	// Label is the label or environment variable.
	Label string `json:"label"`
	// Reason says what is wrong with it.
	Reason string `json:"reason"`
}

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
	koine    map[string]setting
	service  map[string]setting
	ports    map[uint16]map[string]setting
	warnings []Warning
}

// read sorts the environment and the labels of a container. Labels count more than the environment.
func read(env []string, labels map[string]string) *said {
	s := &said{
		koine: make(map[string]setting), service: make(map[string]setting), ports: make(map[uint16]map[string]setting),
	}
	count := 0
	keep := func(kind, key, value string) {
		if !strings.HasPrefix(key, "SERVICE_") && !strings.HasPrefix(key, "koine.") || kind == "env" && key[0] == 'k' {
			return
		}
		if count++; count > maxSettings {
			return
		}
		if len(key) > maxKey || len(value) > catalog.MaxText {
			s.warn(key[:min(len(key), maxKey)], "longer than %d bytes", catalog.MaxText)
			return
		}
		s.keep(setting{value: value, label: key, kind: kind})
	}
	for _, pair := range env {
		if key, value, ok := strings.Cut(pair, "="); ok {
			keep("env", key, value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		keep("label", key, labels[key])
	}
	if count > maxSettings {
		s.warn("SERVICE_*", "%d settings: the first %d are read", count, maxSettings)
	}
	return s
}

// keep sorts one setting. Registrator's grammar: SERVICE_<port>_<key> is of one port, SERVICE_<key> of all.
func (s *said) keep(v setting) {
	if key, ok := strings.CutPrefix(v.label, "koine."); ok {
		s.koine[key] = v
		return
	}
	key := strings.ToLower(strings.TrimPrefix(v.label, "SERVICE_"))
	first, rest, _ := strings.Cut(key, "_")
	number, err := strconv.ParseUint(first, 10, 16)
	if err != nil || rest == "" {
		s.service[key] = v
		return
	}
	port := s.ports[uint16(number)]
	if port == nil {
		port = make(map[string]setting)
		s.ports[uint16(number)] = port
	}
	port[rest] = v
}

func (s *said) warn(label, format string, args ...any) {
	s.warnings = append(s.warnings, Warning{Label: label, Reason: catalog.Errorf(catalog.KindInvalid, format, args...).Message})
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

// ignored tells whether the container is not to be registered, and which setting says so.
func (s *said) ignored() (setting, bool) {
	v, ok := s.first("ignore", 0, "ignore")
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
	var item strings.Builder
	flush := func() {
		if trimmed := strings.TrimSpace(item.String()); trimmed != "" {
			items = append(items, trimmed)
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
