package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/koine-sd/koine/api"
	"github.com/koine-sd/koine/catalog"
)

// httpServer serves HTTP until it is told to stop, and then finishes what it has taken.
type httpServer struct {
	listener net.Listener
	http     http.Server
	native   *api.Server
	// drainWithin bounds how long requests that were taken are waited for.
	drainWithin time.Duration
}

// lastAnswers is how long requests that were given up have to say so.
const lastAnswers = 200 * time.Millisecond

// run answers until the context ends. New requests, and those that wait for a change, then get 503; what was taken before
// is finished and answered within drainWithin. Nothing that it needs may stop before it returns.
func (s *httpServer) run(ctx context.Context) error {
	requests, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	requests = catalog.WithCaller(requests, catalog.Caller{Listener: "http " + s.listener.Addr().String()})
	s.http.BaseContext = func(net.Listener) context.Context { return requests }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	s.native.Stop()
	err := s.shutdown(requests, s.drainWithin-lastAnswers)
	if err != nil { // the requests that are left are told so, if they listen
		giveUp()
		err = s.shutdown(context.WithoutCancel(requests), lastAnswers)
	}
	if err != nil {
		err = s.http.Close()
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		return end
	}
	return err
}

func (s *httpServer) shutdown(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return s.http.Shutdown(ctx)
}
