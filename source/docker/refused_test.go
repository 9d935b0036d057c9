package docker

import (
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// TestLabelsThatTheCatalogRefuses holds that such a label is left out with a warning, and the container is registered all the same.
func TestLabelsThatTheCatalogRefuses(t *testing.T) {
	for key, value := range map[string]string{
		"koine.tags": "blue,a\u0085b", "koine.meta.a\u202eb": "x", "koine.zone": "a\u0085b", "koine.region": "\u202e",
	} {
		c := inspected(func(c *container.InspectResponse) { c.Config.Labels = map[string]string{key: value} })
		d, err := describe(c, options{node: "n1"})
		if err != nil || len(d.warnings) == 0 {
			t.Errorf("%q=%q: the container is not registered: %v; warnings %v", key, value, err, d.warnings)
		}
	}
}

// TestTwoPortsOfOneName holds that the second loses the name with a warning, and the container is registered.
func TestTwoPortsOfOneName(t *testing.T) {
	for _, set := range [][2]string{{"SERVICE_80_NAME", "SERVICE_443_NAME"}, {"koine.ports", ""}} {
		c := inspected(func(c *container.InspectResponse) {
			c.Config.ExposedPorts = network.PortSet{network.MustParsePort("80/tcp"): {}, network.MustParsePort("443/tcp"): {}}
			c.Config.Labels = map[string]string{set[0]: "shop", set[1]: "shop"}
			if set[1] == "" {
				c.Config.Labels = map[string]string{set[0]: "http=80,http=443"}
			}
		})
		if d, err := describe(c, options{node: "n1"}); err != nil || len(d.warnings) == 0 {
			t.Errorf("%s: the container is not registered: %v; warnings %v", set[0], err, d.warnings)
		}
	}
}
