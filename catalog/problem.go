package catalog

import (
	"slices"
	"sync"
)

// reasons are texts that each hold until they are taken back.
type reasons struct {
	mu   sync.Mutex
	list []string
}

// add adds a reason until remove is called. After that it calls then, if that is not nil, with mu held.
func (r *reasons) add(reason string, then func()) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, reason)
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		i := slices.Index(r.list, reason)
		r.list = slices.Delete(r.list, i, i+1)
		if then != nil {
			then()
		}
	})
}

// Problem reports a problem of this process, which still answers, until withdraw is called.
func (v *View) Problem(what string) (withdraw func()) { return v.problems.add(what, nil) }

// Problems returns the problems of this process, which still answers.
func (v *View) Problems() []string {
	v.problems.mu.Lock()
	defer v.problems.mu.Unlock()
	return slices.Clone(v.problems.list)
}

// ProblemSetter returns a function that reports one problem of this process that comes, changes and goes: each call replaces what
// the call before reported, and "" withdraws it. The function may be called by several goroutines.
func (v *View) ProblemSetter() func(what string) {
	var mu sync.Mutex
	reported, withdraw := "", func() {}
	return func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if what == reported {
			return
		}
		withdraw()
		reported, withdraw = what, func() {}
		if what != "" {
			withdraw = v.Problem(what)
		}
	}
}
