package docker

import (
	"fmt"
	"slices"
	"strings"
)

// maxSharers bounds the projects and the spellings that are named for a service that several share.
const maxSharers = 8

// sharers are the projects whose containers have a service's name by chance, and the texts that it was made of.
type sharers struct {
	name            string
	projects, texts []string
}

func (g *sharers) add(m *member) {
	same := func(text string) bool { return strings.EqualFold(text, m.text) }
	if !slices.ContainsFunc(g.texts, same) && len(g.texts) < maxSharers {
		g.texts = append(g.texts, m.text)
	}
	if !m.chosen && m.project != "" && !slices.Contains(g.projects, shorten(m.project)) && len(g.projects) < maxSharers {
		g.projects = append(g.projects, shorten(m.project))
	}
}

// warning returns the fault of a name, or "".
func (g *sharers) warning(o options) string {
	slices.Sort(g.projects)
	slices.Sort(g.texts)
	switch {
	case len(g.projects) > 1:
		return fmt.Sprintf("containers of the projects %s share the name %s: %s tells them apart",
			strings.Join(g.projects, ", "), g.name, o.wayOut())
	case len(g.texts) > 1:
		return fmt.Sprintf("several names become %s: %.100q: koine.name tells them apart", g.name, g.texts)
	}
	return ""
}

// wayOut names the setting that tells projects with the same name of a service apart.
func (o options) wayOut() string {
	switch {
	case o.registrator:
		return "SERVICE_NAME"
	case o.projectNames:
		return "koine.name"
	default:
		return "--compose-names project or koine.name"
	}
}

// shared returns a warning for each service, by its name in lower case, that several have without having chosen it: two
// projects, or names that become the same when they are made fit for DNS. Each instance of such a service gets it.
func (t *tracker) shared(verdicts []verdict) map[string]string {
	groups := make(map[string]*sharers)
	for _, o := range verdicts {
		for i := range o.instances {
			m := &o.instances[i]
			key := strings.ToLower(m.service)
			if groups[key] == nil {
				groups[key] = &sharers{name: m.service}
			}
			groups[key].add(m)
		}
	}
	warnings := make(map[string]string)
	for key, g := range groups {
		if warning := g.warning(t.options); warning != "" {
			warnings[key] = warning
		}
	}
	if len(warnings) == 0 {
		return warnings
	}
	for _, o := range verdicts {
		for i := range o.instances {
			if warning, ok := warnings[strings.ToLower(o.instances[i].service)]; ok {
				o.instances[i].warn(warning)
			}
		}
	}
	return warnings
}
