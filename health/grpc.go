package health

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/koine-sd/koine/catalog"
)

// maxGRPCAnswer bounds the answer, which is a number of one byte.
const maxGRPCAnswer = 64 << 10

// probeGRPC asks a server's health service for the state of the server, or of one of its services: SERVING passes, all
// else is critical. See https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
func probeGRPC(ctx context.Context, def *catalog.Definition) Result {
	target, service, _ := strings.Cut(def.GRPC, "/")
	// Passthrough: the name is resolved by the dialler in each run, and no service config is looked up in DNS.
	conn, err := grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(grpcCredentials(def)), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("koine-health"), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxGRPCAnswer)))
	if err != nil {
		return critical("gRPC %s: %v", def.GRPC, err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return critical("gRPC %s: %s", def.GRPC, grpcReason(err, def))
	}
	if state := answer.GetStatus(); state != grpc_health_v1.HealthCheckResponse_SERVING {
		return critical("gRPC %s: %v", def.GRPC, state)
	}
	return Result{catalog.Passing, "gRPC " + def.GRPC + ": SERVING"}
}

func grpcCredentials(def *catalog.Definition) credentials.TransportCredentials {
	if !def.GRPCUseTLS {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(tlsConfig(def))
}

// grpcReason returns the reason why a call failed, in the words of a check.
func grpcReason(err error, def *catalog.Definition) string {
	said := status.Convert(err)
	switch said.Code() {
	case codes.DeadlineExceeded:
		return reason(context.DeadlineExceeded, def)
	case codes.Unimplemented:
		return "the server has no health service (grpc.health.v1.Health)"
	case codes.NotFound:
		return "the health service does not know the service"
	}
	return said.Message()
}
