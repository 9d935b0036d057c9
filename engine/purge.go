package engine

import (
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.uber.org/zap"
)

// keepFiles is the number of snapshots, and of log segments not in use, that are kept on disk.
const keepFiles = 5

// purger removes the store's old files. etcd's own purger ends the process when it cannot read a directory once, for want of
// a descriptor say; this one tries again.
type purger struct {
	dir    string
	logger *slog.Logger
	// failing is set while the last pass has failed.
	failing bool
}

// purge makes one pass. It logs the first of several failures in a row.
func (p *purger) purge() {
	err := removeOld(p.dir, zapLogger(p.logger, nil))
	if err != nil && !p.failing {
		p.logger.Warn("old files of the store are not removed, which is tried again", "error", err)
	}
	p.failing = err != nil
}

func removeOld(dir string, log *zap.Logger) error {
	member := filepath.Join(dir, storeDir, "member")
	once := make(chan struct{}) // closed: each ends after one pass
	close(once)
	var failed []error
	for _, old := range []struct {
		dir, suffix string
		purge       func(*zap.Logger, string, string, uint, time.Duration, <-chan struct{}) (<-chan struct{}, <-chan error)
	}{
		{"snap", "snap.db", fileutil.PurgeFileWithoutFlock},
		{"snap", "snap", fileutil.PurgeFileWithoutFlock},
		{"wal", "wal", fileutil.PurgeFileWithDoneNotify}, // leaves locked files alone: they are in use
	} {
		done, errs := old.purge(log, filepath.Join(member, old.dir), old.suffix, keepFiles, time.Hour, once)
		<-done
		select {
		case err := <-errs:
			failed = append(failed, err)
		default:
		}
	}
	return errors.Join(failed...)
}
