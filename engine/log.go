package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger passes etcd's log on to slog. An entry that etcd calls fatal goes to failures, if that is not nil, and ends
// only the goroutine that logged it: the process still has listeners to close and a line to print.
func zapLogger(logger *slog.Logger, failures chan<- error) *zap.Logger {
	core := &bridge{logger: logger}
	if failures == nil {
		return zap.New(core)
	}
	hook := &fatalHook{failures: failures}
	return zap.New(core, zap.WithFatalHook(hook), zap.WithPanicHook(hook))
}

// bridge is a zapcore.Core that writes to slog. etcd's information is for its own developers: it becomes debug.
type bridge struct {
	logger *slog.Logger
	fields []zapcore.Field
}

func level(l zapcore.Level) slog.Level {
	switch {
	case l <= zapcore.InfoLevel:
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelDebug // slow applies and the like: the metrics show them better
	default:
		return slog.LevelWarn
	}
}

// Enabled leaves out what etcd writes to debug itself: that holds whole requests, and with them the header values of checks.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && b.logger.Enabled(context.Background(), level(l))
}

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{logger: b.logger, fields: append(b.fields[:len(b.fields):len(b.fields)], fields...)}
}

// freshStore is an error that etcd reports at every first start; its cause passes a moment later.
const freshStore = "failed to update storage version"

func (b *bridge) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Message == freshStore {
		return checked
	}
	if b.Enabled(entry.Level) || entry.Level >= zapcore.DPanicLevel {
		return checked.AddCore(entry, b)
	}
	return checked
}

func (b *bridge) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	for _, field := range b.fields {
		field.AddTo(encoder)
	}
	for _, field := range fields {
		field.AddTo(encoder)
	}
	attrs := make([]slog.Attr, 0, len(encoder.Fields))
	for key, value := range encoder.Fields {
		attrs = append(attrs, slog.Any(key, value))
	}
	b.logger.LogAttrs(context.Background(), level(entry.Level), "etcd: "+entry.Message, attrs...)
	return nil
}

func (b *bridge) Sync() error { return nil }

// fatalHook reports the first fatal entry.
type fatalHook struct{ failures chan<- error }

func (h *fatalHook) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	parts := []string{entry.Message}
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			parts = append(parts, err.Error())
		}
	}
	select {
	case h.failures <- errors.New(strings.Join(parts, ": ")):
	default: // one is enough: further ones are its consequences
	}
	runtime.Goexit()
}
