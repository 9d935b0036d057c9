package daemon

import (
	"context"
	"errors"
	"fmt"
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
