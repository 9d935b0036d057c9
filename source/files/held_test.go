package files

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koine-sd/koine/catalog"
)

// holdingSink records the order of its calls.
type holdingSink struct{ calls []string }

func (s *holdingSink) KeepHeld(_, why string) { s.calls = append(s.calls, "keep: "+why) }

func (s *holdingSink) Declare(_ string, registrations []catalog.Registration) {
	s.calls = append(s.calls, fmt.Sprintf("declare %d", len(registrations)))
}

// TestWhatTheSinkKeeps: from before the first declaration until after the one in which all files are in order, and never again.
func TestWhatTheSinkKeeps(t *testing.T) {
	const (
		web, broken = `{"service": {"name": "web"}}`, "{"
		inError     = "keep: definition files have been in error since the start: "
		away        = "keep: the config directory cannot be read"
	)
	for _, tt := range []struct {
		name string
		// steps change the directory, each before a load.
		steps []func(d *directory)
		want  []string
	}{
		{"all in order", []func(d *directory){
			func(d *directory) { d.write("a.json", web) },
			func(d *directory) { d.write("b.json", broken) },
			func(d *directory) { d.write("a.json", broken) },
		}, []string{"declare 1"}},
		{"in error", []func(d *directory){
			func(d *directory) { d.write("a.json", broken); d.write("b.json", web) },
			func(d *directory) { d.write("c.json", broken) },
			func(d *directory) { d.remove("a.json") },
			func(d *directory) { d.write("c.json", `{"service": {"name": "db"}}`) },
			func(d *directory) { d.write("c.json", broken) },
		}, []string{inError + "a.json", "declare 1", inError + "a.json, c.json", inError + "c.json", "declare 2", "keep: "}},
		{"a clash", []func(d *directory){
			func(d *directory) { d.write("a.json", web); d.write("b.json", web) },
			func(d *directory) { d.remove("a.json") },
		}, []string{inError + "b.json", "declare 1", "keep: "}},
		{"no directory", []func(d *directory){
			func(d *directory) { _ = os.Remove(d.path) },
			func(d *directory) { _ = os.Mkdir(d.path, 0o700); d.write("a.json", broken) },
			func(d *directory) { d.remove("a.json") },
		}, []string{away, inError + "a.json", "declare 0", "keep: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, sink := newDirectory(t), &holdingSink{}
			d.cfg.Sink = sink
			for _, step := range tt.steps {
				step(d)
				_ = d.Load() // its errors are those of the steps
			}
			if diff := cmp.Diff(tt.want, sink.calls); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMissingFileOfUnknownContent: an editor that takes a file away for a moment takes out nothing of what the sink holds.
func TestMissingFileOfUnknownContent(t *testing.T) {
	d, sink := newDirectory(t), &holdingSink{}
	d.cfg.Sink, d.absence = sink, time.Hour
	d.write("a.json", "{")
	_ = d.Load()
	d.remove("a.json")
	_ = d.Load()
	if last := sink.calls[len(sink.calls)-1]; last == "keep: " {
		t.Errorf("told %q at once", sink.calls)
	}
}
