package agent

import "time"

// news is the age of the declarations not yet handed to the registry. Both times are zero if there are none.
type news struct {
	// since is the time of the oldest change, declared the time of the first declaration.
	since, declared time.Time
}

// add records a declaration of changes since a time; the zero time means now. A source whose clock is ahead counts as
// one without a time.
func (n *news) add(since, now time.Time) {
	if since.IsZero() || since.After(now) {
		since = now
	}
	n.join(news{since: since, declared: now})
}

// join adds other news.
func (n *news) join(other news) {
	n.since, n.declared = earlier(n.since, other.since), earlier(n.declared, other.declared)
}

// earlier returns the earlier of two times; the zero time means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// takeNews returns the news since the last call. The state gathered after the call includes these declarations.
func (a *Agent) takeNews() news {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := a.news
	a.news = news{}
	return fresh
}
