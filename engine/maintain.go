package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	maintenanceInterval = time.Minute
	// defragWaste bounds the bytes of free pages in the file: above it, the file is rewritten.
	defragWaste = 256 << 20
)

// maintainer is the part of the client that maintains the store.
type maintainer interface {
	Compact(ctx context.Context, revision int64, opts ...clientv3.CompactOption) (*clientv3.CompactResponse, error)
	Status(ctx context.Context, endpoint string) (*clientv3.StatusResponse, error)
	Defragment(ctx context.Context, endpoint string) (*clientv3.DefragmentResponse, error)
	AlarmList(ctx context.Context) (*clientv3.AlarmResponse, error)
	AlarmDisarm(ctx context.Context, m *clientv3.AlarmMember) (*clientv3.AlarmResponse, error)
}

// maintain gives unused space back to the disk, and lets the store write again once the cause of a quota alarm is gone.
// Compaction is etcd's own, by age, unless the history alone fills the quota: then all of it is compacted.
func maintain(ctx context.Context, client maintainer, logger *slog.Logger) {
	status, err := client.Status(ctx, "")
	if err != nil {
		logger.Warn("store maintenance", "step", "status", "error", err)
		return
	}
	waste := status.DbSize - status.DbSizeInUse
	full := status.DbSize > quotaBytes*9/10
	if waste > defragWaste && waste > status.DbSizeInUse || full && waste > status.DbSize/10 {
		if _, err := client.Defragment(ctx, ""); err != nil {
			logger.Warn("store maintenance", "step", "defragment", "error", err)
			return
		}
		logger.Info("store defragmented", "freed_bytes", waste)
	}
	if status.DbSizeInUse < quotaBytes*9/10 {
		disarm(ctx, client, logger)
		return
	}
	logger.Warn("store nearly full: compacting all history", "bytes_in_use", status.DbSizeInUse)
	_, err = client.Compact(ctx, status.Header.Revision)
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		logger.Warn("store maintenance", "step", "compact", "error", err)
	}
}

func disarm(ctx context.Context, client maintainer, logger *slog.Logger) {
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		logger.Warn("store maintenance", "step", "list alarms", "error", err)
		return
	}
	for _, alarm := range alarms.Alarms {
		if alarm.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		if _, err := client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarm)); err != nil {
			logger.Warn("store maintenance", "step", "disarm", "error", err)
			continue
		}
		logger.Info("space freed: store accepts writes again")
	}
}
