package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/grpclog"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

const (
	writers = 64   // concurrent clients
	hosts   = 1000 // nodes that they register on
)

// measureRegistrations compares durable registrations through HTTP with plain etcd's durable puts of 256 bytes through gRPC.
// Koine is asked by wrk and, as etcd is, by its own client in Go.
func measureRegistrations(ctx context.Context, cfg *config, t *table) error {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(nopWriter{}, nopWriter{}, nopWriter{}))
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer k.stop()
	store, err := startEtcd(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.stop()
	for i := range hosts {
		if _, err := k.client.SyncNode(ctx, estate{}.node(i)); err != nil {
			return err
		}
	}
	script, err := writeScript(cfg)
	if err != nil {
		return err
	}
	candidates := []candidate{
		{"koine", k.process, wrk(cfg, k.http, "/", writers, "-s", script)},
		{"etcd, 64 connections", store.process, putLoad(cfg, store.addr, writers)},
		{"etcd, 1 connection", store.process, putLoad(cfg, store.addr, 1)},
		{"Koine's Go client", k.process, registerLoad(cfg, k.http)},
	}
	samples, err := contest(ctx, cfg, "registrations", candidates)
	if err != nil {
		return err
	}
	report(t, "registrations by wrk, 64 clients, durable", candidates[:3], samples[:3],
		map[string]float64{"etcd, 64 connections": 1.3, "etcd, 1 connection": 1.3})
	// The same with all clients in Go, which take their share of the cores.
	candidates[0], samples[0] = candidates[3], samples[3]
	report(t, "registrations by a Go client", candidates[:3], samples[:3], nil)
	return nil
}

type nopWriter struct{}

func (nopWriter) Write(b []byte) (int, error) { return len(b), nil }

// writeScript writes what has wrk register a new instance with each request, 5 to a service.
func writeScript(cfg *config) (file string, err error) {
	const script = `
local threads = 0
function setup(thread) thread:set("id", os.time() .. "-" .. threads); threads = threads + 1 end
function init() count = 0; wrk.method = "PUT"; wrk.headers["Content-Type"] = "application/json" end
function request()
  count = count + 1
  local service = string.format("reg-%s-%d", id, math.floor(count / 5))
  local body = string.format('{"service":"%s","address":"10.%d.%d.%d","port":8080,"tags":["blue","v2"],' ..
    '"meta":{"version":"2.14.1","commit":"9f1c2ab7"},"permanent":true}',
    service, math.floor(count / 65536) % 256, math.floor(count / 256) % 256, count % 256)
  return wrk.format(nil, string.format("/api/v1/nodes/node-%04d/instances/w-%s-%d", count % 1000, id, count), nil, body)
end
`
	file = filepath.Join(cfg.scratch, "register.lua")
	return file, os.WriteFile(file, []byte(script), 0o600)
}

// drive has the writers do one operation after another, each with a number of its own, until time is up.
func drive(ctx context.Context, cfg *config, do func(ctx context.Context, writer int, n int64) error) (int, time.Duration, error) {
	var count atomic.Int64
	base := time.Now().UnixNano() // so that no round writes an earlier round's records again
	start := time.Now()
	var group errgroup.Group
	for writer := range writers {
		group.Go(func() error {
			for time.Since(start) < cfg.time {
				if err := do(ctx, writer, base+count.Add(1)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return int(count.Load()), time.Since(start), err
}

// registerLoad returns a load of new instances, 5 to a service, by Koine's Go client on 64 connections.
func registerLoad(cfg *config, addr netip.AddrPort) func(context.Context) (int, time.Duration, error) {
	return func(ctx context.Context) (int, time.Duration, error) {
		transport := &http.Transport{MaxIdleConnsPerHost: writers}
		defer transport.CloseIdleConnections()
		c, err := client.New(client.Config{Address: addr.String(), HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			return 0, 0, err
		}
		return drive(ctx, cfg, func(ctx context.Context, _ int, n int64) error {
			i := estate{services: 1, instances: 1}.instance(int(n & 0xffffff))
			i.ID, i.Service = fmt.Sprintf("g-%d", n), fmt.Sprintf("go-%d", n/5)
			i.Node = fmt.Sprintf("node-%04d", n%hosts)
			i.Owner = catalog.Owner{Kind: catalog.OwnerPermanent}
			_, err := c.Register(ctx, catalog.Registration{Instance: i})
			return err
		})
	}
}

// putLoad returns a load of new keys of 256 bytes on some connections to etcd.
func putLoad(cfg *config, addr string, connections int) func(context.Context) (int, time.Duration, error) {
	return func(ctx context.Context) (int, time.Duration, error) {
		stores, err := dialEtcd(ctx, addr, connections)
		defer closeAll(stores)
		if err != nil {
			return 0, 0, err
		}
		value := strings.Repeat("v", 256)
		return drive(ctx, cfg, func(ctx context.Context, writer int, n int64) error {
			_, err := stores[writer%connections].Put(ctx, fmt.Sprintf("put/%d", n), value)
			return err
		})
	}
}

// dialEtcd opens connections to etcd and has each answer once.
func dialEtcd(ctx context.Context, addr string, connections int) (stores []*clientv3.Client, err error) {
	for range connections {
		store, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, DialTimeout: 10 * time.Second})
		if err != nil {
			return stores, err
		}
		stores = append(stores, store)
		if _, err := store.Get(ctx, "put/none"); err != nil {
			return stores, err
		}
	}
	return stores, nil
}

func closeAll(stores []*clientv3.Client) {
	for _, store := range stores {
		store.Close()
	}
}

// etcd is a plain etcd process.
type etcd struct {
	*process
	addr string
}

func startEtcd(ctx context.Context, cfg *config) (*etcd, error) {
	dir, err := os.MkdirTemp(cfg.scratch, "etcd-")
	if err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := launchSelf("peer-etcd", addr.String(), dir)
	if err != nil {
		return nil, err
	}
	err = p.await(ctx, "wait for etcd", func() bool {
		_, err := get(ctx, addr, "/health")
		return err == nil
	})
	return &etcd{process: p, addr: addr.String()}, err
}
