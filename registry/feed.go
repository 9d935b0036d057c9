package registry

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/pause"
)

const (
	// firstPage and lastPage are the numbers of records that the first and the last requests of a load ask for. The first is
	// small, for a slow store; but the store counts all remaining records each time, so equal pages would take a time that
	// grows with the square of their number.
	firstPage, lastPage = 5000, 80_000
	// retryDelay is the feed's pause before it asks a store that did not answer again.
	retryDelay = 200 * time.Millisecond
)

var (
	// errCompacted means that the store has forgotten the revision at which the feed would go on.
	errCompacted = errors.New("revision is compacted")
	// errReplaced means that the store does not hold what the View shows: it was restored, or is another one.
	errReplaced = errors.New("store was restored, or replaced by another")
)

// feed keeps the View up to date until the context ends: one load, then the watch from there on. Where the watch breaks,
// it goes on from the revision that the View has. The catalog is loaded again only when the store has forgotten that
// revision, or is not the store that the View was loaded from.
func (r *Registry) feed(ctx context.Context) {
	loaded := false
	var begun time.Time // of the last load
	for ctx.Err() == nil {
		err := error(nil)
		if !loaded {
			begun = time.Now()
			err = r.load(ctx)
		}
		if err == nil {
			loaded = true
			err = r.follow(ctx)
		}
		if errors.Is(err, errReplaced) {
			r.marked = false // it is another history
		}
		if errors.Is(err, errCompacted) || errors.Is(err, errReplaced) {
			r.logger.Warn("loading the catalog again", "revision", r.view.Revision(), "reason", err)
			loaded = false
			if time.Since(begun) < retryDelay { // two stores behind one address
				pause.For(ctx, retryDelay)
			}
			continue
		}
		if ctx.Err() == nil {
			r.logger.Warn("watch of the store broke", "revision", r.view.Revision(), "error", err)
			pause.For(ctx, retryDelay)
		}
	}
}

// load reads the whole catalog, page by page at one revision.
func (r *Registry) load(ctx context.Context) error {
	r.clocked.Store(0) // the store may be an older one
	r.unreadable.clear()
	if err := r.mark(ctx); err != nil {
		return err
	}
	var records []catalog.Change
	header, err := r.scan(ctx, Root, 0, func(page []*mvccpb.KeyValue, left int64) {
		records = r.decodePage(slices.Grow(records, int(left)), page)
	})
	if err != nil {
		return err
	}
	r.memo.clear()
	r.metrics.reloads.Inc()
	r.store.Store(header.ClusterId)
	for i := range records {
		if records[i].Type == catalog.RecordSession {
			r.lived.Store(strings.ToLower(records[i].Name), true)
		}
	}
	if err := r.adoptLeases(ctx, records); err != nil {
		return err
	}
	r.watchOwnSession(records, true, func() { r.view.Load(uint64(header.Revision), records) })
	select {
	case <-r.replaced: // it was about what the View showed before
	default:
	}
	return nil
}

// scan reads all keys below a prefix as they were at a revision, page by page; 0 is the store's present one. It hands over
// each page with the number of keys from the page's first key on. It returns the header of the first page.
func (r *Registry) scan(ctx context.Context, prefix string, revision int64, each func(page []*mvccpb.KeyValue, left int64)) (
	first *pb.ResponseHeader, err error,
) {
	page := int64(firstPage)
	end := clientv3.GetPrefixRangeEnd(prefix)
	for from := prefix; from != ""; {
		resp, err := r.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(revision))
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = resp.Header
		}
		if resp.Header.ClusterId != first.ClusterId {
			return nil, errReplaced
		}
		if revision == 0 {
			revision = first.Revision
		}
		each(resp.Kvs, resp.Count)
		from = ""
		if resp.More {
			from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
		}
		page = min(2*page, lastPage)
	}
	return first, nil
}

// eachKey takes a page of a scan key by key.
func eachKey(take func(*mvccpb.KeyValue)) func(page []*mvccpb.KeyValue, left int64) {
	return func(page []*mvccpb.KeyValue, _ int64) {
		for _, kv := range page {
			take(kv)
		}
	}
}

// decodePage appends the records of a page, decoded on all cores.
func (r *Registry) decodePage(records []catalog.Change, kvs []*mvccpb.KeyValue) []catalog.Change {
	decoded := make([]catalog.Change, len(kvs))
	readable := make([]bool, len(kvs))
	var wg sync.WaitGroup
	share := len(kvs)/runtime.GOMAXPROCS(0) + 1
	for from := 0; from < len(kvs); from += share {
		wg.Go(func() {
			for i := from; i < min(from+share, len(kvs)); i++ {
				decoded[i], readable[i] = r.decode(kvs[i].Key, present(kvs[i].Value))
				decoded[i].At(uint64(kvs[i].CreateRevision), uint64(kvs[i].ModRevision))
			}
		})
	}
	wg.Wait()
	for i := range decoded {
		if readable[i] {
			records = append(records, decoded[i])
		}
	}
	return records
}

// recorded reports whether a key holds a record of the catalog. The marks of syncs are for conditions only, and the clock
// is for history.
func recorded(key []byte) bool {
	return string(key) != clockKey && !bytes.HasPrefix(key, []byte(syncPrefix))
}

// remarkable reports whether a key holds a record whose changes history shows. A push shows in its check's status, and a mark not at
// all.
func remarkable(key []byte) bool {
	return recorded(key) && !bytes.HasPrefix(key, []byte(pushPrefix)) && !bytes.HasPrefix(key, []byte(markPrefix))
}

// present returns the value of a key that exists. An empty one must not look like that of a deleted key.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// decode decodes a record; one that cannot be read is reported and left out.
func (r *Registry) decode(key, value []byte) (catalog.Change, bool) {
	if !recorded(key) {
		return catalog.Change{}, false
	}
	change, err := decode(string(key), value)
	if err != nil && value == nil { // the key is gone, and with it what could not be read
		return change, false
	}
	if err != nil {
		r.unreadable.add(string(key), value, err)
		r.metrics.damaged.Inc()
		r.logger.Warn("unreadable record left out", "error", err)
		return change, false
	}
	return change, true
}

// follow applies the store's changes to the View, revision by revision, until the watch breaks.
func (r *Registry) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(watchContext(ctx))
	defer cancel()
	watch := r.client.Watch(ctx, Root, clientv3.WithPrefix(), clientv3.WithRev(int64(r.view.Revision())+1),
		clientv3.WithProgressNotify())
	late := time.NewTicker(markAgain)
	defer late.Stop()
	for {
		select {
		case <-late.C:
			if r.unmarked {
				_ = r.mark(ctx) // the next time, perhaps
			}
		case resp, ok := <-watch:
			if !ok {
				return errors.New("watch ended")
			}
			if err := r.applyResponse(&resp); err != nil {
				return err
			}
		case <-r.replaced:
			return errReplaced
		}
	}
}

// watchContext makes a member of a cluster that has lost its leader end a watch, rather than let it fall silent.
func watchContext(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// applyResponse applies one response of the watch. Nothing of another store must reach the View.
func (r *Registry) applyResponse(resp *clientv3.WatchResponse) error {
	if resp.Header.ClusterId != 0 && resp.Header.ClusterId != r.store.Load() {
		return errReplaced
	}
	if resp.CompactRevision != 0 {
		return errCompacted
	}
	if err := resp.Err(); err != nil {
		return err
	}
	r.applyEvents(resp.Events)
	if resp.IsProgressNotify() && uint64(resp.Header.Revision) > r.view.Revision() {
		r.view.Apply(uint64(resp.Header.Revision), nil)
	}
	return nil
}

// sameStore refuses an answer of a store other than the one that the View was loaded from, and has the catalog loaded
// again. The View was at revision seen before the store was asked. A store at a lower revision was restored: a watch
// would stay silent until it reaches that revision again.
func (r *Registry) sameStore(store, answered, seen uint64) error {
	if store == r.store.Load() && answered >= seen {
		return nil
	}
	select {
	case r.replaced <- struct{}{}:
	default: // known already
	}
	return catalog.Errorf(catalog.KindUnavailable, "the store was restored or replaced: it is at revision %d, the catalog was at %d",
		answered, seen).WithHint("try again in a second: the catalog is being loaded again")
}

// applyEvents applies events in order. Those of one revision are applied together: no reader ever sees half a transaction.
func (r *Registry) applyEvents(events []*clientv3.Event) {
	r.metrics.events.Add(float64(len(events)))
	for len(events) > 0 {
		revision, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		var changes []catalog.Change
		for _, event := range events[:n] {
			change, ok := r.decodeEvent(event)
			if !ok {
				continue
			}
			changes = append(changes, change)
			if change.Type == catalog.RecordSession && change.Session != "" {
				r.lived.Store(strings.ToLower(change.Name), true)
			}
		}
		explainGone(r.view, changes, events[:n])
		r.noteClock(events[:n])
		r.watchOwnSession(changes, false, func() { r.view.Apply(uint64(revision), changes) })
		events = events[n:]
	}
}

// watchOwnSession applies changes, or the whole catalog. If the session of the node that this process acts for ends with them, the
// process was stopped for longer than its TTL, and its host is not dead: the View gives no answers until the session exists again.
func (r *Registry) watchOwnSession(changes []catalog.Change, whole bool, apply func()) {
	ends, begins := false, false
	if self := r.self.Load(); self != nil {
		if node := r.view.Node(self.Name); whole && node != nil {
			ends = node.Session != ""
		}
		for i := range changes {
			if c := &changes[i]; c.Type == catalog.RecordSession && strings.EqualFold(c.Name, self.Name) {
				ends, begins = c.Session == "", c.Session != ""
			}
		}
	}
	if ends && r.resume == nil {
		r.resume = r.view.Suspend("the renewal of this host's session, which has ended")
	}
	apply()
	if begins && r.resume != nil {
		r.resume()
		r.resume = nil
	}
}

func (r *Registry) decodeEvent(event *clientv3.Event) (catalog.Change, bool) {
	r.unreadable.remove(event.Kv.Key)
	value := present(event.Kv.Value)
	if event.Type == clientv3.EventTypeDelete {
		value = nil
	}
	change, ok := r.remembered(event.Kv.Key, value)
	if !ok {
		change, ok = r.decode(event.Kv.Key, value)
	}
	if !ok && value != nil { // a process that loads later leaves the record out, so this one does, too
		change, ok = r.decode(event.Kv.Key, nil)
	}
	change.At(uint64(event.Kv.CreateRevision), uint64(event.Kv.ModRevision))
	return change, ok
}

// remembered returns the change of a record that this process has written itself.
func (r *Registry) remembered(key, value []byte) (catalog.Change, bool) {
	i := r.memo.take(key, value)
	if i == nil {
		return catalog.Change{}, false
	}
	return catalog.Change{Type: catalog.RecordInstance, Name: i.Node, ID: i.ID, Instance: i}, true
}

// contactInterval is the interval at which the feed makes sure that the View is in touch with the store.
const contactInterval = time.Second

// keepInTouch records the last time at which the View was known to show all that the store holds, until the context ends.
func (r *Registry) keepInTouch(ctx context.Context) {
	ticker := time.NewTicker(contactInterval)
	defer ticker.Stop()
	for {
		asked := time.Now()
		step, cancel := context.WithTimeout(ctx, contactInterval)
		_, err := r.Barrier(step)
		cancel()
		if err == nil {
			r.view.Touch(asked)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
