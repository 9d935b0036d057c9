package docker

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/moby/moby/client"
)

// imageShelf is an engine with one image.
type imageShelf struct {
	Engine
	exposes []string
	err     error
	asked   int
}

func (s *imageShelf) ImageInspect(context.Context, string, ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	s.asked++
	exposed := make(map[string]struct{})
	for _, port := range s.exposes {
		exposed[port] = struct{}{}
	}
	raw, _ := json.Marshal(map[string]any{"Config": map[string]any{"ExposedPorts": exposed}})
	var result client.ImageInspectResult
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, err
	}
	return result, s.err
}

// TestPortsOfTheImage holds that a port which a container exposes only because it publishes it comes after those that its
// image exposes.
func TestPortsOfTheImage(t *testing.T) {
	published := []edit{
		expose("8400", "8500", "8600"), publish("8400/tcp", "0.0.0.0:8400"), publish("8500/tcp", "0.0.0.0:8500"),
	}
	mail := []edit{expose("25", "143", "587"), publish("143/tcp", "0.0.0.0:143"), publish("587/tcp", "0.0.0.0:587")}
	for name, test := range map[string]struct {
		edits []edit
		shelf *imageShelf
		want  []uint16
		asked int
	}{
		"published and not exposed":         {published, &imageShelf{exposes: []string{"8500", "8600"}}, []uint16{8500, 8400, 8600}, 1},
		"published, and another is exposed": {mail, &imageShelf{exposes: []string{"25/tcp", "587/tcp"}}, []uint16{587, 143, 25}, 1},
		"an image that exposes nothing":     {published, &imageShelf{}, []uint16{8400, 8500, 8600}, 1},
		"no answer":                         {published, &imageShelf{err: errors.New("denied")}, []uint16{8400, 8500, 8600}, 2},
		"one port":                          {[]edit{publish("80/tcp", "0.0.0.0:80"), expose("80")}, &imageShelf{}, []uint16{80}, 0},
		"nothing published":                 {[]edit{expose("80", "81")}, &imageShelf{}, []uint16{80, 81}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			shown := newImages(test.shelf)
			for range 2 {
				c := inspected(test.edits...)
				shown.complete(t.Context(), c)
				d, err := describe(c, testOptions())
				if err != nil || d.skip != "" {
					t.Fatalf("%v, %s", err, d.skip)
				}
				var got []uint16
				for _, p := range d.members[0].Instance.Ports {
					got = append(got, p.Number)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("ports %v, want %v", got, test.want)
				}
			}
			if test.shelf.asked != test.asked {
				t.Errorf("the engine was asked %d times", test.shelf.asked)
			}
		})
	}
}
