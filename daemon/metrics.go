package daemon

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// storeMetrics are the metrics of etcd's own that show the state of the embedded store: its disk, its size, its leader.
var storeMetrics = []string{
	"etcd_disk_backend_commit_duration_seconds",
	"etcd_disk_wal_fsync_duration_seconds",
	"etcd_mvcc_db_total_size_in_bytes",
	"etcd_mvcc_db_total_size_in_use_in_bytes",
	"etcd_server_has_leader",
	"etcd_server_proposals_failed_total",
	"etcd_server_quota_backend_bytes",
}

// buildInfo is the metric with the versions of Koine and Go.
func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "koine_build_info", Help: "1, with the version of Koine and that of Go as labels.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	info.Set(1)
	return info
}

// gatherer returns the metrics for /metrics: this process's own, and storeMetrics of an embedded store. etcd registers its
// metrics, hundreds of them, in the registry of the process rather than in one that its embedder passes.
func (d *Daemon) gatherer() prometheus.Gatherer {
	if d.cfg.storeElsewhere() {
		return d.metrics
	}
	return prometheus.Gatherers{d.metrics, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := prometheus.DefaultGatherer.Gather()
		return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool {
			return !slices.Contains(storeMetrics, f.GetName())
		}), err
	})}
}
