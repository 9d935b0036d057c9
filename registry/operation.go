package registry

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The parts of a transaction are etcd's own messages: the client's types for them are copied, by reflection, each time
// that one is passed on.

// modRevision is the condition that the revision of a key's last write, 0 if the key does not exist, compares to
// another revision.
func modRevision(key string, result pb.Compare_CompareResult, revision uint64) *pb.Compare {
	return &pb.Compare{
		Key: []byte(key), Result: result, Target: pb.Compare_MOD,
		TargetUnion: &pb.Compare_ModRevision{ModRevision: int64(revision)},
	}
}

// createRevision is the same for the revision at which a key was created.
func createRevision(key string, result pb.Compare_CompareResult, revision uint64) *pb.Compare {
	return &pb.Compare{
		Key: []byte(key), Result: result, Target: pb.Compare_CREATE,
		TargetUnion: &pb.Compare_CreateRevision{CreateRevision: int64(revision)},
	}
}

func opPut(put *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
}

func opDelete(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}}
}

func opDeleteBelow(prefix string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{
		Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)),
	}}}
}

// opTxn nests operations that are carried out if conditions hold.
func opTxn(conditions []*pb.Compare, ops []*pb.RequestOp) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Compare: conditions, Success: ops}}}
}
