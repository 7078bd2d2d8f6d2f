package host

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/assign"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/members"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
	"github.com/streamhouse/streamhouse/services/agent/internal/session"
)

// plan is what one round found and wants. Nobody changes it.
type plan struct {
	view    *members.View
	live    map[string]*meta.Session
	members []assign.Member // those of the live that do not leave
	topics  []assign.Topic
	// owners is who should own what; empty on an exclusive store, where this
	// session should own all.
	owners map[flush.ID]string
}

// planned is the plan of the last round, nil before the first.
func (h *Host) planned() *plan {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plan
}

// look makes the plan of a round.
func (h *Host) look(ctx context.Context, list []*meta.Topic) (*plan, error) {
	p := &plan{view: &members.View{}, live: map[string]*meta.Session{}}
	for _, t := range list {
		p.topics = append(p.topics, assign.Topic{ID: t.ID, Partitions: t.Partitions})
	}
	if !h.deps.Exclusive {
		var err error
		if p.view, err = h.watcher.Look(ctx); err != nil {
			return nil, err
		}
		if len(p.view.Troubles) > 0 {
			h.deps.Logger.Warn("sessions not watched, trying again", slog.Any("error", errors.Join(p.view.Troubles...)))
		}
		if p.view.Sealed[h.Session.ID] && !mutation.Off(mutation.R7) {
			return nil, session.ErrSealed // its next heartbeat would tell the same (R7)
		}
		for _, s := range p.view.Live {
			p.live[s.ID] = s
			if !s.Leaving {
				p.members = append(p.members, assign.Member{ID: s.ID, Zone: s.Zone})
			}
		}
		p.assign(h.planned())
	}
	h.deps.Format.Agree(p.reads(h.Session))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan = p
	return p, nil
}

// reads is the newest format that all sessions read which are not finished: one
// that stands still may go on.
func (p *plan) reads(self *session.Session) int {
	all := self.Describe().ReadsFormat
	for _, s := range p.view.Live {
		all = min(all, s.ReadsFormat)
	}
	for _, d := range p.view.Dead {
		all = min(all, d.ReadsFormat)
	}
	return all
}

// assign computes the owners, unless the last plan did from the same.
func (p *plan) assign(last *plan) {
	if last != nil && slices.Equal(p.members, last.members) && slices.Equal(p.topics, last.topics) {
		p.owners = last.owners
		return
	}
	p.owners = assign.Owners(p.members, p.topics)
}

// mine says whether this session should own a partition.
func (h *Host) mine(p *plan, id flush.ID) bool {
	return h.deps.Exclusive || p.owners[id] == h.Session.ID
}

// Owner is the session that most likely owns a partition which this one does
// not, as a hint for clients; nil when there is none to name. It costs no read.
func (h *Host) Owner(id flush.ID) *meta.Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plan == nil {
		return nil
	}
	owner := h.plan.owners[id]
	if found := h.found[id]; found != "" {
		owner = found
	}
	if owner == h.Session.ID {
		return nil
	}
	return h.plan.live[owner]
}

// Member is a session that is not finished, as this one sees it.
type Member struct {
	*meta.Session
	// Seen is when its heartbeat was seen to move, on this machine's clock.
	Seen time.Time
	Dead bool
}

// Members lists the sessions that are not finished, in no order.
func (h *Host) Members() (all []Member) {
	self := Member{Session: h.Session.Describe(), Seen: h.Session.Renewed()}
	all = append(all, self)
	p := h.planned()
	if p == nil {
		return all
	}
	for _, s := range p.view.Live {
		if s.ID != h.Session.ID {
			all = append(all, Member{Session: s, Seen: p.view.Seen[s.ID]})
		}
	}
	for _, d := range p.view.Dead {
		all = append(all, Member{Session: d.Session, Seen: p.view.Seen[d.ID], Dead: true})
	}
	return all
}

// Assigned is the session that should own a partition; "" while nobody should.
func (h *Host) Assigned(id flush.ID) string {
	p := h.planned()
	switch {
	case h.deps.Exclusive:
		return h.Session.ID
	case p == nil:
		return ""
	default:
		return p.owners[id]
	}
}

// Moved says, after Leave, whether there is another agent to go to.
func (h *Host) Moved() bool {
	p := h.planned()
	return h.left() && p != nil && slices.ContainsFunc(p.members, func(m assign.Member) bool { return m.ID != h.Session.ID })
}
