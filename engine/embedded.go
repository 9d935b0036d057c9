package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"

	"github.com/koine-sd/koine/catalog"
)

const (
	// embeddedMaxOps and embeddedMaxBytes let a node of MaxRegistration instances be written in one transaction.
	embeddedMaxOps   = 1 << 16
	embeddedMaxBytes = 64 << 20
	quotaBytes       = 8 << 30
	// history is the time for which revisions are kept for watchers that resume.
	history = "1h"
	// A lone member elects itself; the defaults would make it wait up to a second for that.
	tickMs     = 10
	electionMs = 100
	// etcd keeps the last transactions in memory, 5,000 of any size by default, for members that are behind. A lone member
	// has none. Those on disk are read at the next start, back to the last snapshot.
	catchUpEntries = 100
	snapshotCount  = 2000
)

// embedded is etcd's server inside this process.
type embedded struct {
	server  *embed.Etcd
	lock    *os.File
	dir     string
	failure <-chan error
	// within bounds the wait of close.
	within time.Duration
}

func openEmbedded(ctx context.Context, cfg Config) (*Engine, error) {
	lock, err := claimDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	failures := make(chan error, 1)
	server, err := startIn(ctx, cfg, failures)
	if err != nil && ctx.Err() != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err != nil {
		return nil, errors.Join(explain(cfg, err), lock.Close())
	}
	return &Engine{
		Client:   v3client.New(server.Server),
		KV:       adapter.KvServerToKvClient(v3rpc.NewQuotaKVServer(server.Server)),
		Leases:   adapter.LeaseServerToLeaseClient(v3rpc.NewQuotaLeaseServer(server.Server)),
		MaxOps:   embeddedMaxOps,
		MaxBytes: embeddedMaxBytes,
		embedded: &embedded{server: server, lock: lock, dir: cfg.Dir, failure: failures, within: cfg.CloseTimeout},
		logger:   cfg.Logger,
	}, nil
}

// startIn starts the server in its directory, which remembers whether it has ever been ready.
func startIn(ctx context.Context, cfg Config, failures chan error) (*embed.Etcd, error) {
	if err := beginStore(cfg.Dir); err != nil {
		return nil, err
	}
	server, err := start(ctx, cfg, failures)
	if err != nil {
		return nil, err
	}
	if err := completeStore(cfg.Dir); err != nil {
		return nil, errors.Join(err, stop(server, cfg.CloseTimeout))
	}
	return server, nil
}

// start starts the server and waits until it is ready. etcd ends a goroutine that meets a fatal error by ending the
// process, or panics; the logger turns the first into an entry in failures, and the recover the second, so that one
// line can report the cause.
func start(ctx context.Context, cfg Config, failures chan error) (*embed.Etcd, error) {
	type openResult struct {
		server *embed.Etcd
		err    error
	}
	started := make(chan openResult, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				started <- openResult{err: fmt.Errorf("%v", r)}
			}
		}()
		server, err := embed.StartEtcd(embedConfig(cfg, failures))
		started <- openResult{server, err}
	}()
	select {
	case o := <-started:
		if o.err != nil {
			return nil, o.err
		}
		if err := awaitReady(ctx, o.server, failures); err != nil {
			return nil, errors.Join(err, stop(o.server, cfg.CloseTimeout))
		}
		return o.server, nil
	case err := <-failures: // the goroutine that met it has ended
		return nil, err
	case <-ctx.Done():
	}
	select {
	case o := <-started:
		if o.err == nil {
			return nil, errors.Join(context.Cause(ctx), stop(o.server, cfg.CloseTimeout))
		}
	case err := <-failures:
		return nil, errors.Join(context.Cause(ctx), err)
	case <-time.After(cfg.CloseTimeout):
	}
	return nil, context.Cause(ctx)
}

func awaitReady(ctx context.Context, server *embed.Etcd, failures <-chan error) error {
	select {
	case <-server.Server.ReadyNotify():
		return nil
	case err := <-failures:
		return err
	case err := <-server.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func embedConfig(cfg Config, failures chan<- error) *embed.Config {
	c := embed.NewConfig()
	c.Dir = filepath.Join(cfg.Dir, storeDir)
	c.Name = "koine"
	if cfg.Name != "" {
		c.Name = cfg.Name
	}
	// Only this process uses the store, so it listens nowhere; the advertised address is only its identity.
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.InitialCluster = c.Name + "=" + embed.DefaultInitialAdvertisePeerURLs
	c.TickMs, c.ElectionMs = tickMs, electionMs
	c.MaxTxnOps, c.MaxRequestBytes = embeddedMaxOps, embeddedMaxBytes
	c.QuotaBackendBytes = quotaBytes
	c.SnapshotCatchUpEntries, c.SnapshotCount = catchUpEntries, snapshotCount
	c.MaxSnapFiles, c.MaxWalFiles = 0, 0 // purger looks after them
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, history
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(cfg.Logger, failures))
	return c
}

// run returns when the context ends, or with an error when the store has failed for good.
func (e *embedded) run(ctx context.Context, client maintainer, logger *slog.Logger) error {
	ticker := time.NewTicker(maintenanceInterval)
	defer ticker.Stop()
	files := purger{dir: e.dir, logger: logger}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-e.failure:
			return failed(e.dir, err)
		case err := <-e.server.Err():
			return failed(e.dir, err)
		case <-ticker.C:
			files.purge()
			maintain(ctx, client, logger)
		}
	}
}

const defaultCloseTimeout = 2 * time.Second

// stop stops a server; a fatal error may have ended the goroutines that this waits for.
func stop(server *embed.Etcd, within time.Duration) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Close()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(within):
		return catalog.Errorf(catalog.KindUnavailable, "store did not stop within %v", within)
	}
}

func (e *embedded) close() error {
	if err := stop(e.server, e.within); err != nil {
		return err // the directory stays locked: the server still writes to it
	}
	return e.lock.Close()
}
