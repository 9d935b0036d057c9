package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/koine-sd/koine/catalog"
)

// Scheme begins the address of an etcd cluster that runs elsewhere: etcd://host:port,host:port.
const Scheme = "etcd://"

// Config is the choice of a store.
type Config struct {
	// Endpoints is "" or "embedded" for etcd inside this process, or the address of a cluster, beginning with Scheme.
	Endpoints string
	// Dir is the embedded etcd's data directory; it is made if it does not exist. It is not used for a cluster.
	Dir string
	// Name is the embedded member's name; empty means "koine".
	Name string
	// DialTimeout bounds the first contact with a cluster; 0 means 5 seconds.
	DialTimeout time.Duration
	// CloseTimeout bounds the wait of Close for the embedded store; 0 means 2 seconds.
	CloseTimeout time.Duration
	// Logger receives etcd's log from warnings on; nil discards it.
	Logger *slog.Logger
}

// Engine is an open store.
type Engine struct {
	// Client reaches the store, in process or over the network. It is closed by Close.
	Client *clientv3.Client
	// KV is the same store at the level of etcd's messages, for hot paths.
	KV etcdserverpb.KVClient
	// Leases are the leases of a store that only this process uses, at the level of etcd's messages; nil for a cluster.
	Leases etcdserverpb.LeaseClient
	// MaxOps is the largest number of operations that the store accepts at one level of a transaction.
	MaxOps int
	// MaxBytes is the largest request that the store accepts.
	MaxBytes int

	embedded *embedded
	logger   *slog.Logger
}

// The limits of a cluster with its default configuration: etcd's own, with a margin for the envelope.
const (
	defaultMaxOps   = 128
	defaultMaxBytes = 1 << 20
)

// Open opens the store and waits until it answers. Its errors are of KindUnavailable, KindInvalid or KindConflict and
// name the way out.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CloseTimeout <= 0 {
		cfg.CloseTimeout = defaultCloseTimeout
	}
	switch {
	case cfg.Endpoints == "" || cfg.Endpoints == "embedded":
		return openEmbedded(ctx, cfg)
	case strings.HasPrefix(cfg.Endpoints, Scheme):
		return dial(ctx, cfg)
	default:
		return nil, catalog.Errorf(catalog.KindInvalid, "engine %q is not known", cfg.Endpoints).
			WithHint("use --engine embedded or --engine etcd://host:2379")
	}
}

// reconnect is the interval between attempts to reach a cluster that is away: until one succeeds the answers are old.
var reconnect = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// Members returns the members that the address of a cluster names, as host:port.
func Members(address string) (members []string) {
	for member := range strings.SplitSeq(strings.TrimPrefix(address, Scheme), ",") {
		if member = strings.TrimSpace(member); member != "" {
			members = append(members, member)
		}
	}
	return members
}

// dial connects to a cluster that runs elsewhere.
func dial(ctx context.Context, cfg Config) (*Engine, error) {
	var endpoints []string
	for _, member := range Members(cfg.Endpoints) {
		endpoints = append(endpoints, "http://"+member)
	}
	if len(endpoints) == 0 {
		return nil, catalog.Errorf(catalog.KindInvalid, "engine %q names no host", cfg.Endpoints).
			WithHint("use --engine etcd://host:2379")
	}
	timeout := cfg.DialTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	cfg.Logger.Info("connecting to the store", "at", cfg.Endpoints, "timeout", timeout)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: timeout, Logger: zapLogger(cfg.Logger, nil),
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: timeout})},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", cfg.Endpoints, err)
	}
	probe, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := client.Get(probe, "koine/"); err != nil {
		return nil, errors.Join(catalog.Errorf(catalog.KindUnavailable, "no answer from %s: %v", cfg.Endpoints, err).
			WithHint("start etcd there, or correct --engine"), client.Close())
	}
	return &Engine{Client: client, KV: clientv3.RetryKVClient(client), MaxOps: defaultMaxOps, MaxBytes: defaultMaxBytes, logger: cfg.Logger}, nil
}

// Run looks after the store until the context ends. It returns an error if the store has failed for good.
func (e *Engine) Run(ctx context.Context) error {
	if e.embedded == nil {
		<-ctx.Done()
		return nil
	}
	return e.embedded.run(ctx, e.Client, e.logger)
}

// Close closes the client, and stops the store if it is embedded.
func (e *Engine) Close() error {
	err := e.Client.Close()
	if errors.Is(err, context.Canceled) { // the client's own context, which Close has ended
		err = nil
	}
	if e.embedded != nil {
		err = errors.Join(err, e.embedded.close())
	}
	return err
}
