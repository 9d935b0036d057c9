package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestNoRequestsInLog: etcd's debug messages hold whole requests, with the header values of checks, and are not written.
func TestNoRequestsInLog(t *testing.T) {
	var b bytes.Buffer
	log := zapLogger(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
	log.Debug("apply entry normal", zap.String("raftReq", "S3CRET"))
	log.Info("ready")
	if text := b.String(); strings.Contains(text, "S3CRET") || !strings.Contains(text, "ready") {
		t.Error(text)
	}
}
