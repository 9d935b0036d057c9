package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sync/errgroup"
)

// serveConstantDNS is the smallest possible name server in Go: as many goroutines as cores read a packet, and write the
// answer from a file with the query's ID. Arguments: the address and the file.
func serveConstantDNS(ctx context.Context, args []string) error {
	addr, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	answer, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	var responders errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		responders.Go(func() error { return respond(conn, append([]byte(nil), answer...)) })
	}
	return closed(ctx, responders.Wait())
}

func respond(conn *net.UDPConn, answer []byte) error {
	in := make([]byte, 4096)
	for {
		_, from, err := conn.ReadFromUDPAddrPort(in)
		if err != nil {
			return err
		}
		copy(answer, in[:2])
		if _, err := conn.WriteToUDPAddrPort(answer, from); err != nil {
			return err
		}
	}
}

// closed drops the error of a listener that was closed on purpose.
func closed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serveConstantHTTP answers every request with the bytes of a file. Arguments: the address and the file.
func serveConstantHTTP(ctx context.Context, args []string) error {
	body, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	server := &http.Server{Addr: args[0], ReadHeaderTimeout: 10 * time.Second}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveEtcd is etcd alone, with its own defaults except for a larger quota. Arguments: the address and the data
// directory.
func serveEtcd(ctx context.Context, args []string) error {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = args[1], "error"
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: args[0]}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = nil
	cfg.InitialCluster = cfg.Name + "=" + embed.DefaultInitialAdvertisePeerURLs
	cfg.QuotaBackendBytes = 8 << 30
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer server.Close()
	select {
	case err := <-server.Err():
		return err
	case <-ctx.Done():
		return nil
	}
}
