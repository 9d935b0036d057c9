package docker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/moby/moby/api/types/container"

	"github.com/koine-sd/koine/catalog"
)

// tagList are tags in the order given, each once.
type tagList []string

// addTags adds the tags that the catalog accepts.
func (s *settings) addTags(tags *tagList, label string, more []string) {
	for _, tag := range more {
		switch {
		case slices.Contains(*tags, tag):
		case len(tag) > catalog.MaxTag || strings.ContainsFunc(tag, unprintable):
			s.warn(label, "tag %.20q is longer than %d bytes or has control characters", tag, catalog.MaxTag)
		case len(*tags) == catalog.MaxTags:
			s.warn(label, "tag %.20q exceeds the %d allowed", tag, catalog.MaxTags)
		default:
			*tags = append(*tags, tag)
		}
	}
}

// tags returns the tags in the order given: the main port's or the container's, then those of the other ports, then the
// project that the container belongs to.
func (s *settings) tags(c *container.InspectResponse, ports []catalog.Port) []string {
	var tags tagList
	v, ok := s.first("tags", mainPort(ports), "tags")
	if ok {
		s.addTags(&tags, v.label, list(v.value))
	}
	for _, p := range ports[min(1, len(ports)):] {
		if own, ok := s.ports[p.Number]["tags"]; ok && v.label != "koine.tags" {
			s.addTags(&tags, own.label, list(own.value))
		}
	}
	if name, label := project(c); name != "" {
		s.addTags(&tags, label, []string{name})
	}
	return tags
}

func unprintable(r rune) bool { return catalog.IsControl(r) || r == utf8.RuneError }

// meta returns the free SERVICE_* settings, the main port's over the container's, those of other ports under
// "<port>_<key>", and koine.meta.* over all of them.
func (s *settings) meta(c *container.InspectResponse, main uint16) map[string]string {
	found := make(map[string]setting)
	collectMeta(found, "", s.service)
	for port, settings := range s.ports {
		if port != main {
			collectMeta(found, strconv.Itoa(int(port))+"_", settings)
		}
	}
	collectMeta(found, "", s.ports[main])
	return s.boundMeta(c, found)
}

func collectMeta(found map[string]setting, prefix string, from map[string]setting) {
	for key, v := range from {
		if free(key) {
			found[prefix+key] = v
		}
	}
}

// boundMeta adds koine.meta.* and the project to the meta found, and leaves out the pairs that break the catalog's limits.
func (s *settings) boundMeta(c *container.InspectResponse, found map[string]setting) map[string]string {
	for key, v := range s.koine {
		if name, ok := strings.CutPrefix(key, "meta."); ok {
			found[name] = v
		}
	}
	meta := s.projectMeta(c, found)
	for _, key := range slices.Sorted(maps.Keys(found)) {
		v := found[key]
		switch {
		case key == "" || len(key) > catalog.MaxMetaKey || strings.ContainsFunc(key, unprintable):
			s.warn(v.label, "not a key of 1 to %d bytes without control characters", catalog.MaxMetaKey)
		case len(v.value) > catalog.MaxMetaValue || strings.ToValidUTF8(v.value, "") != v.value:
			s.warn(v.label, "not UTF-8 of at most %d bytes", catalog.MaxMetaValue)
		case len(meta) == catalog.MaxMeta:
			s.warn(v.label, "more than %d pairs of meta", catalog.MaxMeta)
		default:
			meta[key] = v.value
		}
	}
	if len(meta) == 0 {
		return nil
	}
	return meta
}

// projectMeta returns the meta from Compose's and Swarm's labels, and removes the meta found under its keys.
func (s *settings) projectMeta(c *container.InspectResponse, found map[string]setting) map[string]string {
	meta := make(map[string]string, len(found)+1)
	for _, pair := range [...][2]string{{catalog.MetaProject, composeProject}, {catalog.MetaStack, swarmStack}} {
		key, label := pair[0], pair[1]
		if v, ok := found[key]; ok {
			s.warn(v.label, "meta %s is reserved for the label %s", key, label)
			delete(found, key)
		}
		if value := memberLabel(c, label); value != "" && len(value) <= catalog.MaxMetaValue && utf8.ValidString(value) {
			meta[key] = value
		}
	}
	return meta
}
