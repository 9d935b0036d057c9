package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/koine-sd/koine/catalog"
)

const (
	// refusalWait bounds the wait for a refusal if silence passes: on a working network it arrives as fast as an answer
	// would, and a run that waited for its whole timeout would keep others from running.
	refusalWait = time.Second
	// maxUDPAddresses bounds the addresses of a name that one run tries.
	maxUDPAddresses = 8
	// defaultPayload is the datagram of a check without one. An empty datagram would not even reach some servers.
	defaultPayload = "\n"
)

// probeUDP sends one datagram. Any answer passes; a refusal (ICMP "port unreachable") is critical. Silence says
// nothing, since most servers drop what they do not understand: it passes, as it does in Consul, unless the check
// requires an answer.
//
// A dial over UDP cannot fail as one over TCP does, so that it would stay with the first address of a name: a refusal there
// leads to the next one here, and so does silence if an answer is required.
func probeUDP(ctx context.Context, def *catalog.Definition) Result {
	host, port, err := net.SplitHostPort(def.UDP)
	if err != nil {
		return critical("UDP %s: %v", def.UDP, err)
	}
	addresses := []string{""} // this host, as in a dial
	if host != "" {
		if addresses, err = net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return critical("UDP %s: %s", def.UDP, reason(err, def))
		}
	}
	return probeAddresses(ctx, addresses, port, def)
}

// probeAddresses probes at one address after the other until one is not critical.
func probeAddresses(ctx context.Context, addresses []string, port string, def *catalog.Definition) Result {
	addresses = addresses[:min(len(addresses), maxUDPAddresses)]
	return tryEach(ctx, addresses, func(ctx context.Context, address string) Result {
		return probeAddress(ctx, net.JoinHostPort(address, port), def)
	})
}

// tryEach tries one address after the other until one is not critical, and returns the last result. Each has an equal share of the
// time that is left, so that a silent one does not use up the time of those behind it.
func tryEach(ctx context.Context, addresses []string, try func(context.Context, string) Result) (result Result) {
	for i, address := range addresses {
		share, cancel := shareOf(ctx, len(addresses)-i)
		result = try(share, address)
		cancel()
		if result.Status != catalog.Critical || ctx.Err() != nil {
			break
		}
	}
	return result
}

// shareOf returns a context for one of several that share the time left of another one.
func shareOf(ctx context.Context, several int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || several == 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(several))
}

func probeAddress(ctx context.Context, address string, def *catalog.Definition) Result {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", address)
	if err != nil {
		return critical("UDP %s: %s", def.UDP, reason(err, def))
	}
	defer func() { _ = conn.Close() }()
	return probeOver(ctx, conn, def)
}

// probeOver probes over a connected socket.
func probeOver(ctx context.Context, conn net.Conn, def *catalog.Definition) Result {
	answer, err := exchange(ctx, conn, def)
	silent := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case err == nil:
		return Result{catalog.Passing, fmt.Sprintf("UDP %s: answered\n%s", def.UDP, answer)}
	case silent && !def.UDPReply:
		return Result{catalog.Passing, "UDP " + def.UDP + ": sent, and not refused"}
	case silent:
		return critical("UDP %s: no answer: %s", def.UDP, reason(err, def))
	}
	return critical("UDP %s: %v", def.UDP, err)
}

// exchange sends the datagram and returns the head of the answer.
func exchange(ctx context.Context, conn net.Conn, def *catalog.Definition) ([]byte, error) {
	if !def.UDPReply {
		if err := conn.SetReadDeadline(time.Now().Add(min(refusalWait, def.Timeout.Or(catalog.DefaultTimeout)))); err != nil {
			return nil, err
		}
	}
	// The end of the run, by timeout or because the check was removed, ends the wait for an answer. It must be the last
	// to set the deadline.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	payload := def.UDPPayload
	if payload == "" {
		payload = defaultPayload
	}
	if _, err := conn.Write([]byte(payload)); err != nil {
		return nil, err
	}
	answer := make([]byte, headSize)
	n, err := conn.Read(answer)
	return answer[:n], err
}
