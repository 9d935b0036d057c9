package registry

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxMarks bounds the marks that the store keeps: the oldest go first, and with them the positions that name them.
	maxMarks = 256
	// markAgain is the time between two attempts to write a mark to a store that is full.
	markAgain = 5 * time.Second
	// markLength is the length of a mark's ID, of 5 bits each.
	markLength = 8
)

// mark writes a mark, so that positions that are given from now on differ from those of another history: of a store that is
// a copy of this one as it was before, or of one that this one is a copy of. It does so once for each history that this process
// has come to see. A store that is full goes without until it takes writes again: its older marks still tell its history from others.
func (r *Registry) mark(ctx context.Context) error {
	if r.marked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	kept, err := r.client.Get(ctx, markPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend))
	if err != nil {
		return err
	}
	id := strings.ToLower(rand.Text()[:markLength])
	write := []clientv3.Op{clientv3.OpPut(markPrefix+id, string(encode(markRecord{V: format})))}
	for _, kv := range kept.Kvs[:max(0, len(kept.Kvs)+1-maxMarks)] {
		write = append(write, clientv3.OpDelete(string(kv.Key)))
		if len(write) == maxMarks/2 { // a store elsewhere takes 128 operations; the others go at the next start
			break
		}
	}
	_, err = r.client.Txn(ctx).Then(write...).Commit()
	if err != nil && full(err) {
		if !r.unmarked {
			r.logger.Warn("the store is full: its history gets no mark until it takes writes again", "error", err)
		}
		r.unmarked = true
		return nil
	}
	r.marked, r.unmarked = err == nil, false
	return err
}
