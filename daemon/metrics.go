package daemon

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// storeMetrics are those of etcd's own metrics that tell how the embedded store is: its disk, its size, its leader.
var storeMetrics = []string{
	"etcd_disk_backend_commit_duration_seconds",
	"etcd_disk_wal_fsync_duration_seconds",
	"etcd_mvcc_db_total_size_in_bytes",
	"etcd_mvcc_db_total_size_in_use_in_bytes",
	"etcd_server_has_leader",
	"etcd_server_proposals_failed_total",
	"etcd_server_quota_backend_bytes",
}

// buildInfo is the metric of what runs here.
func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "koine_build_info", Help: "1, with the version of Koine and that of Go as labels.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	info.Set(1)
	return info
}

// gatherer returns what /metrics shows: this process's own metrics, and of an embedded store those that matter. etcd
// registers its metrics with the process, hundreds of them, and not with who embeds it.
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
