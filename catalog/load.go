package catalog

// Load replaces the View's content with a whole catalog as it stood at a revision. After the first load the View is
// ready, unless it is held. The revision may be lower than the View's, if the store was restored to an older state: then
// all indices go back with it, and every waiter is woken.
func (v *View) Load(revision uint64, records []Change) {
	back := revision < v.revision.Load()
	if back || !v.loaded.Load() {
		v.floor.Store(revision)
	}
	if v.loaded.Load() {
		v.writer.between = true
		v.marks.Store(betweenHistories)
	}
	v.Apply(revision, append(v.vanished(records), records...))
	if back {
		v.rewind(revision)
		v.rewinds.Add(1)
	}
	v.writer.between = false
	v.marks.Store(v.writer.marks)
	if back || !v.loaded.Load() {
		v.recent.begin(revision, back)
	}
	v.log.reset(revision)
	v.listIndex.Store(revision)
	v.nodesIndex.Store(revision)
	v.hold.mu.Lock()
	defer v.hold.mu.Unlock()
	again := v.loaded.Swap(true)
	v.settleReady()
	if again { // it may be another history, in which any index has another meaning
		v.wake.fireEverybody()
	} else {
		v.wake.fire(nil)
	}
}

// vanished returns deletions of all that the View holds and a whole catalog does not.
func (v *View) vanished(records []Change) []Change {
	if len(v.writer.nodes) == 0 && len(v.writer.drains) == 0 && v.pushes.len() == 0 && len(v.writer.marks.list) == 0 {
		return nil
	}
	type key struct {
		kind     RecordType
		node, id string
	}
	present := make(map[key]bool, len(records))
	for i := range records {
		present[key{records[i].Type, fold(records[i].Name), records[i].ID}] = true
	}
	var gone []Change
	missing := func(kind RecordType, node, id string) {
		if !present[key{kind, node, id}] {
			gone = append(gone, Change{Type: kind, Name: node, ID: id})
		}
	}
	for target := range v.writer.drains {
		if target.service != "" {
			missing(RecordDrain, "", target.service)
		} else {
			missing(RecordDrain, target.node, target.instance)
		}
	}
	for _, mark := range v.writer.marks.list {
		missing(RecordMark, mark.ID, "")
	}
	for p := range v.Pushes() {
		missing(RecordPush, fold(p.Node), p.Check)
	}
	for name, n := range v.writer.nodes {
		missing(RecordNode, name, "")
		missing(RecordSession, name, "")
		for id := range n.instances {
			missing(RecordInstance, name, id)
		}
		for id := range n.checks {
			missing(RecordCheck, name, id)
		}
	}
	return gone
}

// rewind brings the indices that lie above a revision back to it.
func (v *View) rewind(revision uint64) {
	for _, state := range v.services.all() {
		if s := state.snapshot.Load(); s.Index > revision {
			after := &Service{Name: s.Name, Index: revision, Endpoints: s.Endpoints}
			after.settle()
			state.snapshot.Store(after)
		}
	}
	for _, state := range v.nodes.all() {
		if n := state.snapshot.Load(); n.Index > revision {
			snapshot := *n
			snapshot.Index = revision
			state.snapshot.Store(&snapshot)
		}
	}
}
