package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestFailureIsWhatIsMoreThanAStop(t *testing.T) {
	broken := errors.New("broken")
	stopped := fmt.Errorf("run: %w", context.Canceled)
	for _, tt := range []struct{ err, want error }{
		{nil, nil}, {stopped, nil}, {broken, broken}, {errors.Join(stopped, nil, errors.Join(context.Canceled)), nil},
		{errors.Join(stopped, errors.Join(broken, context.Canceled)), broken},
	} {
		if got := failure(tt.err); !errors.Is(got, tt.want) || (got == nil) != (tt.want == nil) || errors.Is(got, context.Canceled) {
			t.Errorf("of %v: %v, want %v", tt.err, got, tt.want)
		}
	}
}

// TestListenersAreClosedWhenNothingRuns holds that neither New nor Run leaves a listener open when it fails.
func TestListenersAreClosedWhenNothingRuns(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Node: "n1", HTTP: "127.0.0.1:0", DNS: "127.0.0.1:0,127.0.0.1:0", Docker: Off, DataDir: foreign})
	if err != nil {
		t.Fatal(err)
	}
	bound := []string{d.HTTPAddr().String()}
	for _, at := range d.dns.Addrs() {
		bound = append(bound, at.String())
	}
	if err := d.Run(t.Context()); err == nil {
		t.Fatal("ran in the directory of another program")
	}
	free := func(after string) {
		t.Helper()
		for _, at := range bound {
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Errorf("after %s: %v", after, err)
				continue
			}
			l.Close()
		}
	}
	free("Run")
	bound = bound[:2]
	if _, err := New(Config{Node: "n1", HTTP: bound[0], DNS: bound[1] + "," + Bridge, Docker: Off}); err == nil {
		t.Fatal("made with bridges, but without Docker")
	}
	free("New")
}
