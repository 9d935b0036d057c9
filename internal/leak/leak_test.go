package leak

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

func TestFind(t *testing.T) {
	known := []goleak.Option{goleak.IgnoreCurrent()}
	None(t, known...)
	stay := make(chan struct{})
	go leftover(stay)
	if err := find(0, known); err == nil || !strings.Contains(err.Error(), "leftover") {
		t.Errorf("with a goroutine left: %v, want it to be named", err)
	}
	close(stay)
	None(t, known...)
}

func leftover(stay <-chan struct{}) { <-stay }
