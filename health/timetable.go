package health

import (
	"container/heap"
	"context"
	"strings"
	"time"
)

// key names a check. Names of nodes compare without regard to letter case, so the node is in lower case.
type key struct{ node, id string }

func keyOf(node, id string) key { return key{strings.ToLower(node), id} }

// job is one key's place in a dispatcher: in its timetable, or running, or both none.
type job struct {
	key key
	at  time.Time
	// place is the index in the timetable, -1 while the job is not in it.
	place int
	// cancel ends the run; nil while the job does not run.
	cancel context.CancelFunc
	// next is when the job runs after this run, if that was said while it ran; it wins over what the run says.
	next time.Time
	// dropped is set if the job was removed while it ran.
	dropped bool
}

// timetable is a min-heap of jobs by time.
type timetable []*job

func (t timetable) Len() int           { return len(t) }
func (t timetable) Less(i, j int) bool { return t[i].at.Before(t[j].at) }

func (t timetable) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push implements heap.Interface.
func (t *timetable) Push(x any) {
	j := x.(*job)
	j.place = len(*t)
	*t = append(*t, j)
}

// Pop implements heap.Interface.
func (t *timetable) Pop() any {
	last := len(*t) - 1
	j := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	j.place = -1
	return j
}

// put enters a job, or moves it if it is in the table already.
func (t *timetable) put(j *job, at time.Time) {
	j.at = at
	if j.place >= 0 {
		heap.Fix(t, j.place)
		return
	}
	heap.Push(t, j)
}

func (t *timetable) remove(j *job) {
	if j.place >= 0 {
		heap.Remove(t, j.place)
	}
}

// overdue counts the jobs whose time has come, from a place in the heap downwards.
func (t timetable) overdue(place int, now time.Time) int {
	if place >= len(t) || t[place].at.After(now) {
		return 0 // none below it is earlier
	}
	return 1 + t.overdue(2*place+1, now) + t.overdue(2*place+2, now)
}

// due takes the first job out if its time has come.
func (t *timetable) due(now time.Time) *job {
	if len(*t) == 0 || (*t)[0].at.After(now) {
		return nil
	}
	return heap.Pop(t).(*job)
}
