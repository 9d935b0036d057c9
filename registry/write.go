package registry

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// write is one all-or-nothing change, with the conditions under which it is made.
type write struct {
	conditions []*pb.Compare
	ops        []*pb.RequestOp
	// keys are those that ops write, reads those that conditions depend on. One that ends in '/' stands for all keys
	// below it.
	keys, reads []string
	// why has the reasons for the deletions among ops, reasonBytes is their size.
	why         reasons
	reasonBytes int
	// notes are records among ops that the feed need not decode.
	notes []note
	// bytes estimates how much of a request the write takes.
	bytes int
	// handed is the time when the write was submitted. answered is the time of the store's answer; it is set before done,
	// on the first write of a group only, which stands for all of the group in the metrics.
	handed, answered time.Time
	done             chan storeAnswer
	// taken is 0 until the write's transaction begins or its writer withdraws it, whichever is first.
	taken atomic.Int32
	// store is the id of the etcd cluster that answered.
	store uint64
}

// The states of a submitted write.
const (
	writeBegun = iota + 1
	writeWithdrawn
)

// begin prevents the write's withdrawal. It returns false if it was withdrawn.
func (w *write) begin() bool { return w.taken.CompareAndSwap(0, writeBegun) }

// withdraw prevents the write. It returns false if its transaction has begun.
func (w *write) withdraw() bool { return w.taken.CompareAndSwap(0, writeWithdrawn) }

// storeAnswer is the store's answer to a write.
type storeAnswer struct {
	// store is the id of the etcd cluster that answered, revision the one at which the conditions held or did not.
	store, revision uint64
	// held reports whether the conditions held, so that the write was made.
	held bool
	err  error
}

// unchangedSince adds the condition that a key was not written after a revision. It may have been deleted: a key that
// does not exist counts as never written.
func (w *write) unchangedSince(key string, revision uint64) {
	w.conditions = append(w.conditions, modRevision(key, pb.Compare_LESS, revision+1))
	w.reads = append(w.reads, key)
}

// stillAt adds the condition that a key exists as it was written at a revision.
func (w *write) stillAt(key string, revision uint64) {
	w.conditions = append(w.conditions, modRevision(key, pb.Compare_EQUAL, revision))
	w.reads = append(w.reads, key)
}

// stillThere adds the condition that a key exists and was not written after a revision.
func (w *write) stillThere(key string, revision uint64) {
	w.unchangedSince(key, revision)
	w.conditions = append(w.conditions, createRevision(key, pb.Compare_GREATER, 0))
}

// sameAs adds the condition that a key exists, or does not, as at a revision.
func (w *write) sameAs(key string, there bool, revision uint64) {
	if there {
		w.stillThere(key, revision)
	} else {
		w.unchangedSince(key, revision)
	}
}

// absent adds the condition that a key does not exist.
func (w *write) absent(key string) {
	w.conditions = append(w.conditions, createRevision(key, pb.Compare_EQUAL, 0))
	w.reads = append(w.reads, key)
}

// unchangedBelow adds the condition that no key below a prefix was written after a revision. To check it, the store looks
// at all of these keys; it does not notice deletions.
func (w *write) unchangedBelow(prefix string, revision uint64) {
	below := modRevision(prefix, pb.Compare_LESS, revision+1)
	below.RangeEnd = []byte(clientv3.GetPrefixRangeEnd(prefix))
	w.conditions = append(w.conditions, below)
	w.reads = append(w.reads, prefix)
}

// put writes a key, which ends with a lease unless the lease is 0.
func (w *write) put(key string, value []byte, lease clientv3.LeaseID) {
	w.putWith(key, &pb.PutRequest{Key: []byte(key), Value: value, Lease: int64(lease)})
}

// putInstance writes the record of an instance, encoded as value.
func (w *write) putInstance(i *catalog.Instance, value []byte, lease clientv3.LeaseID) {
	key := instanceKey(i.Node, i.ID)
	w.put(key, value, lease)
	if n, ok := noteInstance(key, value, i); ok {
		w.notes = append(w.notes, n)
	}
}

// replace writes a key that exists, and keeps its lease.
func (w *write) replace(key string, value []byte) {
	w.putWith(key, &pb.PutRequest{Key: []byte(key), Value: value, IgnoreLease: true})
}

func (w *write) putWith(key string, put *pb.PutRequest) {
	w.ops = append(w.ops, opPut(put))
	w.keys = append(w.keys, key)
	w.bytes += len(key) + len(put.Value) + 64
}

func (w *write) delete(key string) {
	w.ops = append(w.ops, opDelete(key))
	w.keys = append(w.keys, key)
	w.bytes += len(key) + 64
}

func (w *write) deleteBelow(prefix string) {
	w.ops = append(w.ops, opDeleteBelow(prefix))
	w.keys = append(w.keys, prefix)
	w.bytes += len(prefix) + 64
}

// touch records that the declared state of a node changes, so that a sync planned before is refused.
func (w *write) touch(node string) {
	w.put(syncKey(node), encode(syncRecord{V: format}), 0)
}

// dependsOn reports whether a write depends on, or writes, keys that others write.
func (w *write) dependsOn(written *keySet) bool {
	return slices.ContainsFunc(w.keys, written.overlaps) || slices.ContainsFunc(w.reads, written.overlaps)
}

// keySet is keys, and prefixes that end in '/' and stand for all keys below them.
type keySet struct {
	keys     map[string]bool
	prefixes []string
}

func (s *keySet) add(keys []string) {
	for _, key := range keys {
		s.keys[key] = true
		if isPrefix(key) {
			s.prefixes = append(s.prefixes, key)
		}
	}
}

func (s *keySet) overlaps(key string) bool {
	if s.keys[key] || slices.ContainsFunc(s.prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
		return true
	}
	if !isPrefix(key) {
		return false
	}
	for other := range s.keys {
		if strings.HasPrefix(other, key) {
			return true
		}
	}
	return false
}

func isPrefix(key string) bool { return strings.HasSuffix(key, "/") }
