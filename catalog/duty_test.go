package catalog

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"
)

// TestWeights holds the hash to fixed values: processes of different versions must give a duty to the same node.
func TestWeights(t *testing.T) {
	for _, tt := range []struct {
		id, duty string
		want     uint64
	}{
		{"", "", 0xb9034ad37056f5fb},
		{"one", "clock", 0x706980b4739ec62b},
		{"two", "clock", 0xfb928fd0f71d1738},
		{"7c1ae6a6-5f4e-4f0e-8b0f-0a52ad3ea0f0", "checks/ext", 0x83c76fddea49d683},
		{"one", "checks/rds", 0xfba2ef4fd5534bc4},
		{"é", "purge/n1", 0xd6962dce062ea583},
	} {
		c := candidate{&Node{ID: tt.id}, hashMore(hashStart, tt.id+"\x00")}
		if got := c.weigh(tt.duty); got != tt.want {
			t.Errorf("%q bids %#x for %q, want %#x", tt.id, got, tt.duty, tt.want)
		}
		plain := fnv.New64a()
		_, _ = plain.Write([]byte(tt.id + "\x00" + tt.duty))
		if got := hashMore(c.seed, tt.duty); got != plain.Sum64() {
			t.Errorf("the hash of %q and %q is %#x, that of hash/fnv %#x", tt.id, tt.duty, got, plain.Sum64())
		}
	}
}

func TestHolderOf(t *testing.T) {
	list := func(ids ...string) []candidate {
		nodes := make(map[string]*Node)
		for _, id := range ids {
			nodes[id] = &Node{Name: "node-" + id, ID: id}
		}
		return candidatesOf(nodes)
	}
	for duty, want := range map[string]string{
		ClockDuty: "two", ChecksDuty("RDS"): "one", ChecksDuty("ext"): "three", PurgeDuty("n1"): "three",
		ChecksDuty("db-1"): "three", ChecksDuty("db-2"): "two",
	} {
		if got := holderOf(list("two", "three", "one"), duty); got.ID != want {
			t.Errorf("%s is %s's, want it to be %s's", duty, got.ID, want)
		}
	}
	if got := holderOf(nil, ClockDuty); got != nil {
		t.Errorf("%s has a duty where nobody takes any", got.ID)
	}
	if got := holderOf(candidatesOf(map[string]*Node{"n1": {Name: "N1"}, "n2": {Name: "n2"}}), ClockDuty); got == nil {
		t.Error("nodes without an ID take no duties")
	}
}

// candidatesOf returns all of some nodes as candidates, in no order.
func candidatesOf(nodes map[string]*Node) (list []candidate) {
	for _, node := range nodes {
		list = append(list, newCandidate(node))
	}
	return list
}

// TestOrderOfCandidatesDoesNotMatter: not even for a host whose former record, under another name, still counts.
func TestOrderOfCandidatesDoesNotMatter(t *testing.T) {
	a, b := newCandidate(&Node{Name: "a", ID: "one"}), newCandidate(&Node{Name: "b", ID: "one"})
	for _, list := range [][]candidate{{a, b}, {b, a}} {
		if got := holderOf(list, ClockDuty); got.Name != "a" {
			t.Errorf("of two nodes with the same id %s has the duty, want a", got.Name)
		}
	}
}

// TestDutiesSpreadAndStay: each candidate has its share, and when one goes only what it had moves.
func TestDutiesSpreadAndStay(t *testing.T) {
	all := map[string]*Node{}
	for i := range 5 {
		id := fmt.Sprintf("id-%d", i)
		all[id] = &Node{Name: fmt.Sprintf("n%d", i), ID: id}
	}
	before := candidatesOf(all)
	delete(all, "id-2")
	after := candidatesOf(all)
	const duties = 2000
	share := make(map[string]int)
	for i := range duties {
		duty := ChecksDuty(fmt.Sprintf("ext-%d", i)) // they differ in the last bytes only
		had, has := holderOf(before, duty), holderOf(after, duty)
		share[had.ID]++
		if had.ID != "id-2" && has.ID != had.ID {
			t.Fatalf("%s moved from %s to %s, though id-2 went", duty, had.ID, has.ID)
		}
	}
	for id, n := range share {
		if n < duties/5*3/4 || n > duties/5*5/4 {
			t.Errorf("%s has %d of %d duties, want about a fifth", id, n, duties)
		}
	}
}

func TestViewGivesDutiesToTheLiving(t *testing.T) {
	v := NewView()
	session := Owner{Kind: OwnerSession, TTL: Duration(time.Second)}
	record := func(name string, runs bool) Change {
		return Change{Type: RecordNode, Name: name, Node: &Node{Name: name, ID: "id-of-" + name, Owner: session, RunsChecks: runs}}
	}
	alive := func(name, session string) Change { return Change{Type: RecordSession, Name: name, Session: session} }
	v.Load(1, []Change{record("A", true), alive("a", "1"), record("B", true), record("C", false), alive("c", "3")})
	revision := uint64(1)
	step := func(what, want string, changes ...Change) {
		t.Helper()
		revision++
		v.Apply(revision, changes)
		got := ""
		for i := range 100 { // among many duties each candidate has one
			if holder := v.Holder(fmt.Sprint(i)); holder != nil && (got == "" || got > holder.Name) {
				got = holder.Name
			} else if holder == nil && i == 0 {
				break
			}
		}
		if got != want {
			t.Errorf("%s: the first by name of those with duties is %q, want %q", what, got, want)
		}
	}
	step("one of three", "A")
	if n := len(v.duties.Load().candidates); n != 1 {
		t.Errorf("%d nodes take duties, want A alone: B is dead, C takes none", n)
	}
	if a, b := (&Node{Name: "a", ID: "id-of-A"}), (&Node{Name: "A", ID: "another"}); !v.Holds(a, "x") || v.Holds(b, "x") {
		t.Error("a duty is held by another host of the same name, or not by its holder")
	}
	before := v.duties.Load()
	step("a check of a node", "A", Change{Type: RecordCheck, Name: "a", ID: "disk", Check: &Check{ID: "disk", Node: "A", Status: Critical}})
	if v.duties.Load() != before {
		t.Error("the candidates were made again for a check")
	}
	step("A dies, B comes", "B", alive("a", ""), alive("b", "2"))
	step("B runs no checks any more", "", record("B", false))
	step("C does", "C", record("C", true))
	step("C is removed", "", alive("c", ""), Change{Type: RecordNode, Name: "c"})
	step("A is back", "A", alive("a", "4"))
	v.Load(revision+1, nil)
	if v.Holder("x") != nil {
		t.Error("an empty catalog has a holder")
	}
}

func TestOnlyNodesWithASessionRunChecks(t *testing.T) {
	node := Node{Name: "n1", Owner: Owner{Kind: OwnerPermanent}, RunsChecks: true}
	if KindOf(node.Validate()) != KindInvalid {
		t.Errorf("a permanent node that runs checks: %v", node.Validate())
	}
	node.Owner = Owner{Kind: OwnerSession, TTL: Duration(time.Second)}
	other := node
	other.RunsChecks = false
	if err := node.Validate(); err != nil || node.Equal(&other) {
		t.Errorf("%v; a node that runs checks equals one that does not: %v", err, node.Equal(&other))
	}
}

func BenchmarkHolder(b *testing.B) {
	for _, n := range []int{3, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			nodes := make(map[string]*Node)
			for i := range n {
				id := fmt.Sprintf("7c1ae6a6-5f4e-4f0e-8b0f-%012d", i)
				nodes[id] = &Node{Name: "n", ID: id}
			}
			list := candidatesOf(nodes)
			for b.Loop() {
				holderOf(list, "checks/rds")
			}
		})
	}
}

// TestRunnerOfDeclaredNodes holds that a node that a client declares over HTTP has its checks run by a node with an agent.
func TestRunnerOfDeclaredNodes(t *testing.T) {
	v := NewView()
	session := Owner{Kind: OwnerSession, TTL: Duration(time.Minute)}
	over := &Origin{Listener: "http 127.0.0.1:8500"}
	v.Load(1, []Change{
		{Type: RecordNode, Name: "koine", Node: &Node{Name: "koine", ID: "1", Owner: session, RunsChecks: true}},
		{Type: RecordSession, Name: "koine", Session: "a"},
		{Type: RecordNode, Name: "declared", Node: &Node{Name: "declared", Owner: session, Origin: over}},
		{Type: RecordSession, Name: "declared", Session: "b"},
		{Type: RecordNode, Name: "agent", Node: &Node{Name: "agent", ID: "2", Owner: session}},
		{Type: RecordSession, Name: "agent", Session: "c"},
		{Type: RecordNode, Name: "remote", Node: &Node{Name: "remote", ID: "3", Owner: session, RunsChecks: true, Origin: over}},
	})
	for node, want := range map[string]string{"koine": "koine", "declared": "koine", "agent": "agent", "remote": ""} {
		if got := v.Runner(node); got != want {
			t.Errorf("checks of %s are run by %q, want %q", node, got, want)
		}
	}
}
