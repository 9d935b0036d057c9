package test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
	moby "github.com/moby/moby/client"
)

// moment is when an action of a container took place, by Docker's events.
type moment struct {
	container string
	action    events.Action
	at        time.Time
}

// follow sends the start and kill events of containers.
func (d docker) follow(ctx context.Context) <-chan moment {
	stream := d.Client().Events(ctx, moby.EventsListOptions{})
	moments := make(chan moment, 64)
	go func() {
		defer close(moments)
		for {
			select {
			case <-ctx.Done():
				return
			case <-stream.Err:
				return
			case m := <-stream.Messages:
				if m.Type != events.ContainerEventType || m.Action != events.ActionStart && m.Action != events.ActionKill {
					continue
				}
				select {
				case moments <- moment{m.Actor.Attributes["name"], m.Action, time.Unix(0, m.TimeNano)}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return moments
}

// first returns when the first event of a kind of a container was.
func first(moments <-chan moment, container string, action events.Action) time.Time {
	for m := range moments {
		if m.container == container && m.action == action {
			return m.at
		}
	}
	return time.Time{}
}

// BenchmarkContainerToDNS measures from Docker's start event to the first right DNS answer, and from its kill event,
// which follows the stop signal, to the first answer without the container. The clock is the machine's own.
func BenchmarkContainerToDNS(b *testing.B) {
	e := docker{startDocker(b)}
	k := newKoine(b, "--docker", e.Host()).start()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	moments := e.follow(ctx)
	var up, down []time.Duration
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("web-", i)
		seen := make(chan time.Time, 1)
		go func() {
			for len(k.addresses("web")) == 0 {
				if b.Context().Err() != nil {
					return
				}
			}
			seen <- time.Now()
		}()
		e.Run(service(name, "web", args("-grace", "300ms")))
		up = append(up, (<-seen).Sub(first(moments, name, events.ActionStart)))
		go e.stop(name)
		k.await("the container leaves the answers", func() bool { return len(k.addresses("web")) == 0 })
		gone := time.Now()
		down = append(down, gone.Sub(first(moments, name, events.ActionKill)))
		k.await("it is removed", func() bool { _, ok := k.instance(name); return !ok })
		e.remove(name)
	}
	report(b, "start", up)
	report(b, "stop", down)
}

func report(b *testing.B, what string, list []time.Duration) {
	slices.Sort(list)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(list[len(list)/2]), what+"-p50-ms")
	b.ReportMetric(ms(list[len(list)-1]), what+"-max-ms")
}
