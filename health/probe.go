package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/koine-sd/koine/catalog"
)

// probers run checks for real.
type probers struct {
	scripts    bool
	containers Execer
}

func (p *probers) probe(ctx context.Context, def *catalog.Definition) Result {
	switch def.Type {
	case catalog.CheckHTTP:
		return probeHTTP(ctx, def)
	case catalog.CheckTCP:
		return probeTCP(ctx, def)
	case catalog.CheckUDP:
		return probeUDP(ctx, def)
	case catalog.CheckGRPC:
		return probeGRPC(ctx, def)
	case catalog.CheckH2Ping:
		return probeH2Ping(ctx, def)
	case catalog.CheckExec:
		return probeExec(ctx, p.containers, def)
	case catalog.CheckScript:
		if !p.scripts {
			return critical("script checks are off: start koine with --enable-script-checks to run this one")
		}
		return probeScript(ctx, def)
	}
	return critical("koine cannot run checks of type %q", def.Type)
}

func probeTCP(ctx context.Context, def *catalog.Definition) Result {
	what, dial := "TCP connect "+def.TCP, new(net.Dialer).DialContext
	if def.TCPUseTLS {
		what, dial = "TLS handshake with "+def.TCP, (&tls.Dialer{Config: tlsConfig(def)}).DialContext
	}
	conn, err := dial(ctx, "tcp", def.TCP)
	if err != nil {
		return critical("%s: %s", what, reason(err, def))
	}
	// The check is over once the connection is made: its end means nothing.
	_ = conn.Close()
	return Result{catalog.Passing, what + ": success"}
}

// tlsConfig returns the TLS configuration for dialling a check's server.
func tlsConfig(def *catalog.Definition) *tls.Config {
	return &tls.Config{
		ServerName:         def.TLSServerName,
		InsecureSkipVerify: def.TLSSkipVerify, // the declaration asks for it
	}
}

func critical(format string, args ...any) Result {
	return Result{catalog.Critical, fmt.Sprintf(format, args...)}
}

// reason returns the reason why a run failed, in the words of a check instead of those of a context.
func reason(err error, def *catalog.Definition) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("timed out after %v", def.Timeout.Or(catalog.DefaultTimeout))
	}
	return err.Error()
}
