package agent

import "time"

// news says since when something has been declared that was not handed to the registry. Both times are zero if nothing
// has.
type news struct {
	// since is when the oldest of the changes came about, declared when the first of them was declared.
	since, declared time.Time
}

// add notes a declaration of changes since a time; the zero time means now. A source whose clock is ahead counts as one
// that does not know.
func (n *news) add(since, now time.Time) {
	if since.IsZero() || since.After(now) {
		since = now
	}
	n.join(news{since: since, declared: now})
}

// join adds what others have declared.
func (n *news) join(other news) {
	n.since, n.declared = earlier(n.since, other.since), earlier(n.declared, other.declared)
}

// earlier returns the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// takeNews returns what has been declared since it was called last. What is declared by then is in the state that is
// gathered afterwards.
func (a *Agent) takeNews() news {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := a.news
	a.news = news{}
	return fresh
}
