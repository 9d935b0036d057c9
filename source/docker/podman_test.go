package docker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/koine-sd/koine/catalog"
)

// TestSubject has the container that an event is about, in Docker's form and in Podman's.
func TestSubject(t *testing.T) {
	of := func(kind events.Type, action events.Action, actor string, attributes ...string) events.Message {
		m := events.Message{Type: kind, Action: action}
		m.Actor.ID, m.Actor.Attributes = actor, map[string]string{}
		for i := 0; i < len(attributes); i += 2 {
			m.Actor.Attributes[attributes[i]] = attributes[i+1]
		}
		return m
	}
	for _, test := range []struct {
		name, want string
		m          events.Message
	}{
		{"a container's", "c1", of("container", "start", "c1")},
		{"Docker's connect", "c1", of("network", "connect", "n1", "container", "c1", "name", "front")},
		{"connect of Podman 4", "c1", of("network", "connect", "c1", "name", "web")},
		{"disconnect of Podman 6", "c1", of("network", "disconnect", "c1", "network", "front")},
		{"without attributes", "c1", events.Message{Type: "network", Action: "connect", Actor: events.Actor{ID: "c1"}}},
		{"a network's", "", of("network", "create", "n1")},
	} {
		if got := subject(test.m); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestPodmanContainer follows a container through connect, disconnect and stop as Podman reports them.
func TestPodmanContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := &fakeNetworks{fakeEngine: newFake()}, newSink()
		f.add(podmanID, "bridge", "bridge", "10.88.0.0/16")
		f.add("f00", "front", "bridge", "10.89.0.0/24")
		f.put("web", attach("podman", "10.88.0.2", ""), func(c *container.InspectResponse) {
			delete(c.NetworkSettings.Networks, "bridge")
			c.NetworkSettings.Networks["podman"].NetworkID = "podman"
			c.State.Pid = 7
		})
		var names []string
		s, err := New(Config{Client: f, Node: "n1", Sink: sink, Networks: func(list []catalog.Network) {
			names = nil
			for _, n := range list {
				names = append(names, n.Name+"="+n.ID)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.podman.Store(true)
		runUntilEnd(t, s)
		on := func() (list []string) {
			synctest.Wait()
			set, _, _ := sink.latest()
			for _, a := range set[0].Instance.Addresses {
				list = append(list, a.Network+"="+a.NetworkID)
			}
			return list
		}
		if got := strings.Join(on(), " "); got != "podman="+podmanID {
			t.Errorf("the container is on %s", got)
		}
		if got := strings.Join(names, " "); !strings.Contains(got, "podman="+podmanID) || strings.Contains(got, "bridge") {
			t.Errorf("networks %s", got)
		}
		tell := func(kind events.Type, action events.Action) {
			m := events.Message{Type: kind, Action: action, TimeNano: time.Now().UnixNano()}
			m.Actor.ID = "web"
			f.message(m)
		}
		f.change("web", func(c *container.InspectResponse) {
			attach("front", "10.89.0.2", "")(c)
			c.NetworkSettings.Networks["front"].NetworkID = "front"
		})
		tell("network", "connect")
		if got := strings.Join(on(), " "); got != "front=f00 podman="+podmanID {
			t.Errorf("after connect the container is on %s", got)
		}
		f.change("web", func(c *container.InspectResponse) { delete(c.NetworkSettings.Networks, "front") })
		tell("network", "disconnect")
		if got := on(); len(got) != 1 {
			t.Errorf("after disconnect the container is on %s", got)
		}

		// The event comes before the outcome is stored.
		f.change("web", func(c *container.InspectResponse) { c.State.Health = &container.Health{Status: container.Starting} })
		tell("container", "health_status")
		synctest.Wait()
		set, declared, _ := sink.latest()
		if len(set[0].Checks) != 1 || !strings.Contains(string(set[0].Instance.Extras[sourceName]), "systemd") {
			t.Errorf("declared %+v", set[0])
		}
		f.change("web", func(c *container.InspectResponse) {
			c.State.Health = &container.Health{Status: container.Healthy, Log: []*container.HealthcheckResult{{Output: "fine"}}}
		})
		time.Sleep(2 * retryMax)
		synctest.Wait()
		if set, n, _ := sink.latest(); set[0].Checks[0].Status != catalog.Passing || n != declared+1 {
			t.Errorf("%d declarations more, check %+v", n-declared, set[0].Checks[0])
		}
		for range 10 { // a probe that changes nothing is no news
			tell("container", "health_status")
			time.Sleep(retryMax)
		}
		synctest.Wait()
		if _, n, _ := sink.latest(); n != declared+1 {
			t.Errorf("%d declarations more", n-declared)
		}
		// A state of Podman's alone, without an event, is found in the list.
		f.change("web", func(c *container.InspectResponse) { c.State.Running, c.State.Status = false, stoppingState })
		time.Sleep(2 * retryMax)
		expect(t, sink, "web:stop signal SIGTERM")
		f.change("web", func(c *container.InspectResponse) { c.State.Pid, c.State.Status = 0, "exited" })
		tell("container", "die")
		expect(t, sink, "")
	})
}

// TestPodmanSkips has containers of Podman that have nothing to register, and one with what is left to a rootless one.
func TestPodmanSkips(t *testing.T) {
	rootless := func(mode container.NetworkMode) edit {
		return func(c *container.InspectResponse) {
			clear(c.NetworkSettings.Networks)
			c.HostConfig.NetworkMode = mode
		}
	}
	for _, test := range []struct {
		name, why string
		edits     []edit
	}{
		{"infra container by name", "infra", []edit{func(c *container.InspectResponse) { c.Name = "/62fe42b85d85-infra" }}},
		{"infra container by image", "infra", []edit{image("localhost/podman-pause:4.3.1-0")}},
		{"pasta without ports", "rootless", []edit{rootless("pasta")}},
		{"slirp4netns without ports", "rootless", []edit{rootless("slirp4netns")}},
		{"pasta with a port", "", []edit{rootless("pasta"), expose("80"), publish("80", ":8080")}},
		{"not an infra container", "", []edit{func(c *container.InspectResponse) { c.Name = "/my-infra" }}},
	} {
		d, err := describe(inspected(test.edits...), testOptions())
		if err != nil || !strings.Contains(d.skip, test.why) || (d.skip == "") != (test.why == "") {
			t.Errorf("%s: left out for %q, error %v", test.name, d.skip, err)
		}
	}
}
