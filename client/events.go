package client

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// LogEvent is a line of the log of events.
type LogEvent struct {
	catalog.Event
	// ID is where the events go on after this one.
	ID catalog.Position `json:"id,omitzero"`
	// More reports that other events of the same revision are still to come: a stream cannot be resumed from here.
	More bool `json:"more,omitempty"`
}

// EventOptions choose events.
type EventOptions struct {
	// Name is a service, an instance or a node; empty means all.
	Name string
	// Last is the number of past events that come first.
	Last int
	// After, unless zero, selects all events after that of the ID instead.
	After catalog.Position
	// Silence is how long a server that is followed may send nothing before the client connects again; 0 means a minute.
	Silence time.Duration
}

func (o *EventOptions) values() url.Values {
	values := set(url.Values{}, "name", o.Name)
	if o.After.Revision > 0 {
		values.Set("revision", o.After.String())
	} else {
		values.Set("last", strconv.Itoa(o.Last))
	}
	return values
}

// Events returns events that the server remembers. An event of type catalog.EventGap stands for those that it has forgotten.
func (c *Client) Events(ctx context.Context, o EventOptions) ([]catalog.Event, error) {
	response, err := (&stream{client: c, path: "/events", values: o.values}).connect(ctx)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := c.read(ctx, response)
	if err != nil {
		return nil, err
	}
	list := []catalog.Event{}
	for line := range bytes.Lines(answer) {
		e, err := c.decodeEvent(line)
		if err != nil {
			return nil, err
		}
		if e.Type != "" {
			list = append(list, e.Event)
		}
	}
	return list, nil
}

func (c *Client) decodeEvent(line []byte) (e LogEvent, err error) {
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return e, nil
	}
	err = c.decodeLine(line, &e)
	return e, err
}

// FollowEvents yields events as they happen, after the first ones that the options ask for. It reconnects by itself and
// goes on from where it was; an event of type catalog.EventGap stands for those that the server has forgotten meanwhile.
//
// A failed attempt is yielded as an error with a zero Event, as Watch does.
func (c *Client) FollowEvents(ctx context.Context, o EventOptions) iter.Seq2[catalog.Event, error] {
	return func(yield func(catalog.Event, error) bool) {
		stream := &stream{client: c, path: "/events", silence: o.Silence}
		stream.values = func() url.Values {
			values := o.values()
			values.Set("follow", "true")
			return values
		}
		stream.receive = func(line []byte) error {
			e, err := c.decodeEvent(line)
			if err != nil {
				return err
			}
			if e.Type != "" && !yield(e.Event, nil) {
				return errStopped
			}
			if !e.More && e.Revision > 0 {
				o.After = e.ID
			}
			return nil
		}
		stream.fail = func(err error) bool { return yield(catalog.Event{}, err) }
		stream.run(ctx)
	}
}

// History returns the changes of a service or an instance, as far back as since, or as the store remembers; 0 means an hour.
// The error is of KindNotFound if nothing of that name existed in that time.
func (c *Client) History(ctx context.Context, name string, since time.Duration) (catalog.History, error) {
	var history catalog.History
	values := set(url.Values{}, "name", name)
	if since != 0 {
		values.Set("since", since.String())
	}
	_, err := c.call(ctx, http.MethodGet, "/history", values, nil, &history)
	return history, err
}
