package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/koine-sd/koine/catalog"
)

// changes is how many times the watched service changes.
const changes = 20

// measureWatchers takes the time from the start of a write to the last watcher's event.
func measureWatchers(ctx context.Context, cfg *config, t *table) error {
	koine, err := koineWatchers(ctx, cfg, 1000)
	if err != nil {
		return err
	}
	etcd, err := etcdWatchers(ctx, cfg, 1000)
	if err != nil {
		return err
	}
	t.add(row{
		what: "1,000 watchers of one service", koine: koine.text(), peer: "etcd " + etcd.text(),
		ratio: float64(etcd.p50()) / float64(koine.p50()), target: 1,
	})
	t.add(row{what: "the same, p50", koine: millis(koine.p50()), verdict: atMost(float64(koine.p50())/1e6, 20, "ms (aim)")})
	many, err := koineWatchers(ctx, cfg, 9500)
	if err != nil {
		return err
	}
	t.add(row{what: "9,500 watchers of one service", koine: many.text()})
	return nil
}

// delays are the times that each change took to reach the last watcher.
type delays []time.Duration

func (d delays) p50() time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

func (d delays) text() string {
	return fmt.Sprintf("p50 %s, max %s", millis(d.p50()), millis(slices.Max(d)))
}

// audience is watchers that report when they have seen a change.
type audience struct {
	size int
	seen chan int
	gone chan error
}

func newAudience(size int) *audience {
	return &audience{size: size, seen: make(chan int, size), gone: make(chan error, size)}
}

// await waits until every watcher has seen a change.
func (a *audience) await(ctx context.Context, change int) error {
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for missing := a.size; missing > 0; {
		select {
		case n := <-a.seen:
			if n == change {
				missing--
			}
		case err := <-a.gone:
			return fmt.Errorf("a watcher ended: %w", err)
		case <-limit.C:
			return fmt.Errorf("%d of %d watchers have not seen change %d", missing, a.size, change)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// time makes the changes one after another, each when all watchers have seen the one before.
func (a *audience) time(ctx context.Context, write func(change int) error) (delays, error) {
	var list delays
	for change := 1; change <= changes; change++ {
		start := time.Now()
		if err := write(change); err != nil {
			return nil, err
		}
		if err := a.await(ctx, change); err != nil {
			return nil, err
		}
		list = append(list, time.Since(start))
	}
	return list, nil
}

func koineWatchers(ctx context.Context, cfg *config, size int) (delays, error) {
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer k.stop()
	write := func(change int) error {
		i := estate{services: 1, instances: 1}.instance(0)
		i.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
		i.Meta = map[string]string{"change": strconv.Itoa(change)}
		_, err := k.client.Register(ctx, catalog.Registration{Instance: i})
		return err
	}
	if err := write(0); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	a := newAudience(size)
	var watchers errgroup.Group
	defer func() { _ = watchers.Wait() }() // the watcher's end has its reason in it
	defer cancel()
	for range size {
		conn, err := net.Dial("tcp", k.http.String())
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		watchers.Go(func() error {
			a.gone <- a.follow(conn, "/api/v1/watch?service="+serviceName(0))
			return nil
		})
	}
	if err := a.await(ctx, 0); err != nil {
		return nil, err
	}
	return a.time(ctx, write)
}

// follow reads a watch and reports the number of each change.
func (a *audience) follow(conn net.Conn, path string) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if _, rest, ok := bytes.Cut(lines.Bytes(), []byte(`"change":"`)); ok {
			digits, _, _ := bytes.Cut(rest, []byte(`"`))
			change, err := strconv.Atoi(string(digits))
			if err != nil {
				return err
			}
			a.seen <- change
		}
	}
	return fmt.Errorf("end of stream: %w", lines.Err())
}

func etcdWatchers(ctx context.Context, cfg *config, size int) (delays, error) {
	store, err := startEtcd(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer store.stop()
	stores, err := dialEtcd(ctx, store.addr, size)
	defer closeAll(stores)
	if err != nil {
		return nil, err
	}
	a := newAudience(size)
	ctx, cancel := context.WithCancel(ctx)
	var watchers errgroup.Group
	defer func() { _ = watchers.Wait() }() // the watcher's end has its reason in it
	defer cancel()
	for _, c := range stores {
		events := c.Watch(ctx, "watched", clientv3.WithCreatedNotify())
		watchers.Go(func() error {
			a.gone <- a.receive(events)
			return nil
		})
	}
	if err := a.await(ctx, 0); err != nil {
		return nil, err
	}
	padding := bytes.Repeat([]byte(" "), 250)
	return a.time(ctx, func(change int) error {
		_, err := stores[0].Put(ctx, "watched", strconv.Itoa(change)+string(padding))
		return err
	})
}

// receive reads an etcd watch and reports the number of each change; its creation counts as 0.
func (a *audience) receive(events clientv3.WatchChan) error {
	for event := range events {
		if err := event.Err(); err != nil {
			return err
		}
		if event.Created {
			a.seen <- 0
		}
		for _, e := range event.Events {
			change, err := strconv.Atoi(string(bytes.TrimSpace(e.Kv.Value)))
			if err != nil {
				return err
			}
			a.seen <- change
		}
	}
	return fmt.Errorf("end of watch")
}
