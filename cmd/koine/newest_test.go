package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/koine-sd/koine/client"
)

// TestNewest holds that a slow taker gets the newest event of each service, an error after what came before it, and all that waits when the watch
// ends.
func TestNewest(t *testing.T) {
	input, ended := make(chan func(yield func(client.Event, error) bool) bool), make(chan struct{})
	watch := func(ctx context.Context) iter.Seq2[client.Event, error] {
		return func(yield func(client.Event, error) bool) {
			defer close(ended)
			for {
				select {
				case step, ok := <-input:
					if !ok || !step(yield) {
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}
	}
	send := func(service string, revision uint64, err error) {
		input <- func(yield func(client.Event, error) bool) bool {
			return yield(client.Event{Service: service, Revision: revision}, err)
		}
	}
	var got []string
	next, stop := iter.Pull2(newest(t.Context(), watch))
	defer stop()
	take := func() {
		event, err, ok := next()
		got = append(got, fmt.Sprintln(event.Service, event.Revision, err, ok))
	}
	go send("web", 1, nil) // the watch begins with the first take
	take()
	for revision := range uint64(30) {
		send("web", 2+revision, nil)
	}
	send("api", 32, nil)
	send("", 0, errors.New("away")) // and it is back
	send("Web", 33, nil)
	send("", 0, errors.New("away again"))
	close(input)
	<-ended
	for range 4 {
		take()
	}
	want := []string{"web 1 <nil> true\n", "Web 33 <nil> true\n", "api 32 <nil> true\n", " 0 away again true\n", " 0 <nil> false\n"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNewestEndsWithItsTaker holds that the watch has ended when its taker has stopped.
func TestNewestEndsWithItsTaker(t *testing.T) {
	ended := false
	watch := func(ctx context.Context) iter.Seq2[client.Event, error] {
		return func(yield func(client.Event, error) bool) {
			yield(client.Event{Service: "web"}, nil)
			<-ctx.Done()
			ended = true
		}
	}
	for range newest(t.Context(), watch) {
		break
	}
	if !ended {
		t.Error("the watch goes on")
	}
}
