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

// job is one key's entry in a dispatcher: scheduled, running, or neither; never both.
type job struct {
	key key
	at  time.Time
	// index is the job's index in the timetable, -1 while the job is not in it.
	index int
	// cancel ends the run; nil while the job does not run.
	cancel context.CancelFunc
	// lane is the lane whose timetable the job is in, or in which it runs.
	lane int
	// started is the time when the present run began, took the time that the last one took that did not hang.
	started time.Time
	took    time.Duration
	// hung is set if the run has hung, broken if it was broken off to make room, and is to begin again.
	hung, broken bool
	// next is the time of the run after this one, if it was set while the job ran; it wins over the run's own result.
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
	t[i].index, t[j].index = i, j
}

// Push implements heap.Interface.
func (t *timetable) Push(x any) {
	j := x.(*job)
	j.index = len(*t)
	*t = append(*t, j)
}

// Pop implements heap.Interface.
func (t *timetable) Pop() any {
	last := len(*t) - 1
	j := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	j.index = -1
	return j
}

// put enters a job, or moves it if it is in the table already.
func (t *timetable) put(j *job, at time.Time) {
	j.at = at
	if j.index >= 0 {
		heap.Fix(t, j.index)
		return
	}
	heap.Push(t, j)
}

func (t *timetable) remove(j *job) {
	if j.index >= 0 {
		heap.Remove(t, j.index)
	}
}

// overdue counts the jobs whose time has come, from an index in the heap downwards.
func (t timetable) overdue(index int, now time.Time) int {
	if index >= len(t) || t[index].at.After(now) {
		return 0 // none below it is earlier
	}
	return 1 + t.overdue(2*index+1, now) + t.overdue(2*index+2, now)
}

// due takes the first job out if its time has come.
func (t *timetable) due(now time.Time) *job {
	if len(*t) == 0 || (*t)[0].at.After(now) {
		return nil
	}
	return heap.Pop(t).(*job)
}
