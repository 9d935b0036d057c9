package docker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/client"

	"github.com/koine-sd/koine/catalog"
)

// TestNetworksThatAreRefused has an engine behind a proxy that forbids the list of its networks, from the start or later.
func TestNetworksThatAreRefused(t *testing.T) {
	for _, later := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeNetworks{fakeEngine: newFake(), refused: true}
			sink := newSink()
			f.put("web")
			f.away = later
			var problems []string
			start(t, Config{
				Client: f, Sink: sink, Networks: func([]catalog.Network) {},
				NetworksProblem: func(what string) { problems = append(problems, what) },
			})
			time.Sleep(5 * time.Second)
			f.comeBack()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if len(problems) == 0 {
				t.Errorf("engine later: %v: never reported", later)
			}
		})
	}
}

// hangingList hangs while its networks are listed, and refuses later.
type hangingList struct {
	*fakeEngine
	refuses *atomic.Bool
}

func (h hangingList) NetworkList(ctx context.Context, _ client.NetworkListOptions) (r client.NetworkListResult, err error) {
	if h.refuses.Load() {
		return r, errAway
	}
	<-ctx.Done()
	return r, ctx.Err()
}

func (h hangingList) NetworkInspect(context.Context, string, client.NetworkInspectOptions) (r client.NetworkInspectResult, err error) {
	return r, errAway
}

// TestNetworksThatHang has the list of networks hang, and then be refused.
func TestNetworksThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sink := newFake(), newSink()
		f.put("web")
		var problems []string
		var refuses atomic.Bool
		start(t, Config{
			Client: hangingList{f, &refuses}, Sink: sink, Networks: func([]catalog.Network) {},
			NetworksProblem: func(what string) { problems = append(problems, what) },
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		refuses.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(problems) == 0 {
			t.Error("never reported")
		}
	})
}
