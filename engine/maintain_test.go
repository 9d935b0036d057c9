package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// store is a maintainer that records its calls.
type store struct {
	size, inUse int64
	alarms      []etcdserverpb.AlarmType
	fail        string
	did         []string
}

func (s *store) do(step string) error {
	s.did = append(s.did, step)
	if step == s.fail {
		return errors.New("no")
	}
	return nil
}

func (s *store) Status(context.Context, string) (*clientv3.StatusResponse, error) {
	status := &clientv3.StatusResponse{Header: &etcdserverpb.ResponseHeader{Revision: 7}, DbSize: s.size, DbSizeInUse: s.inUse}
	if s.fail == "status" {
		return nil, errors.New("no")
	}
	return status, nil
}

func (s *store) Compact(context.Context, int64, ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	return nil, s.do("compact")
}

func (s *store) Defragment(context.Context, string) (*clientv3.DefragmentResponse, error) {
	return nil, s.do("defragment")
}

func (s *store) AlarmList(context.Context) (*clientv3.AlarmResponse, error) {
	response := &clientv3.AlarmResponse{}
	for _, alarm := range s.alarms {
		response.Alarms = append(response.Alarms, &etcdserverpb.AlarmMember{Alarm: alarm})
	}
	if s.fail == "list" {
		return nil, errors.New("no")
	}
	return response, nil
}

func (s *store) AlarmDisarm(context.Context, *clientv3.AlarmMember) (*clientv3.AlarmResponse, error) {
	return nil, s.do("disarm")
}

func TestMaintain(t *testing.T) {
	full, corrupt := etcdserverpb.AlarmType_NOSPACE, etcdserverpb.AlarmType_CORRUPT
	for _, tt := range []struct {
		name  string
		store store
		want  []string
	}{
		{"a small store is left alone", store{size: 100 << 20, inUse: 1 << 20}, nil},
		{"much unused space is given back", store{size: 1 << 30, inUse: 100 << 20}, []string{"defragment"}},
		{"space in use is not", store{size: 1 << 30, inUse: 900 << 20}, nil},
		{"a full file with some unused space is rewritten", store{size: quotaBytes, inUse: quotaBytes / 2}, []string{"defragment"}},
		{"an alarm without cause is taken back", store{size: 1 << 20, alarms: []etcdserverpb.AlarmType{full}}, []string{"disarm"}},
		{"an alarm of damage is not", store{size: 1 << 20, alarms: []etcdserverpb.AlarmType{corrupt}}, nil},
		{"an alarm with a cause stays, and the history goes",
			store{size: quotaBytes, inUse: quotaBytes - 1, alarms: []etcdserverpb.AlarmType{full}}, []string{"compact"}},
		{"a store that cannot be rewritten stays as it is",
			store{size: 1 << 30, inUse: 1, fail: "defragment", alarms: []etcdserverpb.AlarmType{full}}, []string{"defragment"}},
		{"a store that does not answer is left alone", store{size: 1 << 30, fail: "status"}, nil},
		{"nor is one that does not tell its alarms", store{size: 1 << 20, fail: "list"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			maintain(t.Context(), &tt.store, slog.New(slog.DiscardHandler))
			if !slices.Equal(tt.store.did, tt.want) {
				t.Errorf("did %v, want %v", tt.store.did, tt.want)
			}
		})
	}
}
