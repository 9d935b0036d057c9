package health

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// View shows the targets of alias checks, and the owners of instances. A *catalog.View is one.
type View interface {
	Node(name string) *catalog.NodeSnapshot
	Service(name string) *catalog.Service
	Instance(node, id string) *catalog.Endpoint
	// Push returns the status pushed for a TTL check of a node without an agent.
	Push(node, check string) *catalog.Push
	Revision() uint64
	// WaitList blocks until current does not return index.
	WaitList(ctx context.Context, current func() uint64, index uint64) (uint64, error)
}

// lookPause spaces the looks at the View, so that a storm of changes costs a few looks and not one each.
const lookPause = 10 * time.Millisecond

// followView updates the checks that follow the View whenever it has changed.
func (r *Runner) followView(ctx context.Context) {
	if r.cfg.View == nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		revision := r.cfg.View.Revision()
		r.look(time.Now())
		timer.Reset(lookPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if _, err := r.cfg.View.WaitList(ctx, r.cfg.View.Revision, revision); err != nil {
			return
		}
	}
}

func (r *Runner) look(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, e := range r.followed {
		if e.check.Type == catalog.CheckAlias {
			r.lookAtAlias(k, e, now)
		} else {
			r.lookAtPush(k, e, now)
		}
	}
}

// lookAtAlias is called with mu held.
func (r *Runner) lookAtAlias(k key, e *entry, now time.Time) {
	if r.cfg.View == nil {
		return
	}
	result := aliasOf(r.cfg.View, e.check)
	if result.Status == e.state.Status && e.state.Settled {
		return // without a change it is no run
	}
	r.step(k, e, result, now)
}

// aliasOf returns the status of an alias check's target.
//
// With AliasService, that is the instance with that ID on the alias's node; if there is none, the service of that name:
// on AliasNode the worst of its instances, and without AliasNode the best of them anywhere, because the service is answered
// while one of them is. With AliasNode alone, it is the node.
//
// Other aliases do not count: two aliases of each other would hold each other critical for ever.
func aliasOf(view View, check *catalog.Check) Result {
	name := check.AliasNode
	if name == "" {
		name = check.Node
	}
	node := view.Node(name)
	if check.AliasService == "" {
		return aliasOfNode(node, name)
	}
	if node != nil {
		if e := node.Endpoint(check.AliasService); e != nil {
			status, why := aliasOfInstance(e)
			return Result{status, fmt.Sprintf("instance %s on %s is %s%s", e.ID, name, status, why)}
		}
	}
	return aliasOfService(view.Service(check.AliasService), check)
}

func aliasOfNode(node *catalog.NodeSnapshot, name string) Result {
	switch {
	case node == nil || node.Node == nil:
		return critical("there is no node %s", name)
	case !node.Alive:
		return critical("node %s is not alive", name)
	}
	status, why := worst(node.Checks)
	return Result{status, fmt.Sprintf("node %s is %s%s", name, status, why)}
}

// aliasOfInstance returns the status of an instance, and the reason why it is not passing.
func aliasOfInstance(e *catalog.Endpoint) (catalog.Status, string) {
	if e.Drained != "" {
		return catalog.Critical, ": draining: " + e.Drained
	}
	if !e.Host.Alive {
		return catalog.Critical, ": its node is not alive"
	}
	ofNode, whyNode := worst(e.Host.Checks)
	own, why := worst(e.Checks)
	if ofNode.Worse(own) == own {
		return own, why
	}
	return ofNode, whyNode
}

func aliasOfService(service *catalog.Service, check *catalog.Check) Result {
	found := 0
	status, why := catalog.Critical, ""
	if check.AliasNode != "" {
		status = catalog.Passing
	}
	for _, e := range instancesOf(service, check) {
		found++
		one, because := aliasOfInstance(e)
		better := status.Worse(one) != one
		if check.AliasNode != "" && !better || check.AliasNode == "" && (better || one == status) {
			status, why = one, because
		}
	}
	if found == 0 {
		return critical("there is no instance or service %s", check.AliasService)
	}
	return Result{status, fmt.Sprintf("service %s is %s%s", check.AliasService, status, why)}
}

// instancesOf returns the instances of a service that an alias looks at: all but its own, on its node if it names one.
func instancesOf(service *catalog.Service, check *catalog.Check) (list []*catalog.Endpoint) {
	if service == nil {
		return nil
	}
	for _, e := range service.Endpoints {
		own := strings.EqualFold(e.Node, check.Node) && e.ID == check.Instance
		if !own && (check.AliasNode == "" || strings.EqualFold(e.Node, check.AliasNode)) {
			list = append(list, e)
		}
	}
	return list
}

// worst returns the worst status of some checks, aliases left out, and the check that has it.
func worst(checks []*catalog.Check) (status catalog.Status, why string) {
	status = catalog.Passing
	for _, c := range checks {
		if c.Type != catalog.CheckAlias && c.Status.Worse(status) != status {
			status, why = c.Status, ": check "+c.ID
			if !status.Valid() {
				status = catalog.Critical
			}
		}
	}
	return status, why
}
