package docker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// manager is an engine with one service of a Swarm.
type manager struct {
	Engine
	ports []swarm.PortConfig
	err   error
	asked int
}

func (m *manager) ServiceInspect(context.Context, string, client.ServiceInspectOptions) (r client.ServiceInspectResult, err error) {
	m.asked++
	r.Service.Endpoint.Ports = append(r.Service.Endpoint.Ports, m.ports...)
	return r, m.err
}

// TestIngressPorts holds that a task has the ports that its service publishes on the ingress network, as long as the engine tells them.
func TestIngressPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{ports: []swarm.PortConfig{
			{Protocol: "tcp", TargetPort: 80, PublishedPort: 15000, PublishMode: swarm.PortConfigPublishModeIngress},
			{Protocol: "udp", TargetPort: 53, PublishedPort: 15053, PublishMode: swarm.PortConfigPublishModeIngress},
			{Protocol: "tcp", TargetPort: 81, PublishedPort: 15081, PublishMode: swarm.PortConfigPublishModeHost},
			{Protocol: "tcp", TargetPort: 80000, PublishedPort: 1, PublishMode: swarm.PortConfigPublishModeIngress},
			{TargetPort: 82, PublishedPort: 15082, PublishMode: swarm.PortConfigPublishModeIngress},
		}}
		s := newServices(m)
		publishes := func(edits ...edit) map[string]uint16 {
			c := inspected(append(edits, expose("80", "53/udp", "81", "82"))...)
			s.complete(t.Context(), c)
			d, err := describe(c, testOptions())
			if err != nil {
				t.Fatal(err)
			}
			list := make(map[string]uint16)
			for _, p := range d.members[0].Instance.Ports {
				if p.Published != 0 {
					list[p.Protocol] = p.Published
				}
			}
			return list
		}
		task := labels(serviceLabel, "s1")
		for range 2 {
			if got := publishes(task); len(got) != 2 || got["tcp"] != 15000 || got["udp"] != 15053 {
				t.Errorf("published %v", got)
			}
		}
		if got := publishes(); len(got) != 0 || m.asked != 1 {
			t.Errorf("a container of no service publishes %v; the engine was asked %d times", got, m.asked)
		}
		m.err, m.ports = errors.New("the swarm does not have a leader"), nil
		time.Sleep(serviceAge)
		if got := publishes(task); len(got) != 2 || m.asked != 2 {
			t.Errorf("published %v without an answer, want those known last; the engine was asked %d times", got, m.asked)
		}
		if got := publishes(labels(serviceLabel, "s2")); len(got) != 0 {
			t.Errorf("a task of a service that is not known publishes %v", got)
		}
		m.err = cerrdefs.ErrNotFound
		time.Sleep(serviceAge)
		if got := publishes(task); len(got) != 0 {
			t.Errorf("a task of a service that was removed publishes %v", got)
		}
	})
}
