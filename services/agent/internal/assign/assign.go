// Package assign decides which agent should own which partition. Every agent
// computes it from the same rows and comes to the same result, so no agent
// leads. It does no I/O.
//
// Each partition ranks the members by a hash (rendezvous hashing) and goes to
// the first one that has room. What decides one partition hardly touches the
// others, so few move when a member comes or goes.
package assign

import (
	"cmp"
	"slices"

	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
)

// Member is a session that may own partitions.
type Member struct {
	ID   string
	Zone string
}

// Topic is a topic whose partitions are to be assigned.
type Topic struct {
	ID         uint32
	Partitions uint32
}

// slack is how much more than the mean a member, or a zone's share of a topic,
// may hold: a quarter.
const slack = 4

// Owners assigns each partition of the topics to a member, by its ID. No member
// gets more than 1.25 times the mean, or the mean rounded up where that is
// more. A topic's partitions are spread over the zones in the same measure,
// each zone by the number of its members, as far as there is room. The order
// of the arguments does not matter. Without members there are no owners.
func Owners(members []Member, topics []Topic) map[flush.ID]string {
	p := newPlan(members, topics)
	owners := make(map[flush.ID]string, len(p.partitions))
	if len(p.members) == 0 {
		return owners
	}
	for i := range p.partitions {
		owners[p.partitions[i].id] = p.place(&p.partitions[i])
	}
	return owners
}

// plan is one computation.
type plan struct {
	members    []member
	zones      []int // how many members each zone has
	partitions []partition
	room       int              // of one member
	inZone     map[uint32][]int // of each topic: how many partitions each zone has
}

type member struct {
	id   string
	hash uint64
	zone int
	held int
}

type partition struct {
	id   flush.ID
	hash uint64
	of   uint32 // partitions of its topic
}

func newPlan(members []Member, topics []Topic) *plan {
	p := &plan{inZone: map[uint32][]int{}}
	zones := map[string]int{}
	for _, m := range members {
		z, known := zones[m.Zone]
		if !known {
			z = len(p.zones)
			zones[m.Zone] = z
			p.zones = append(p.zones, 0)
		}
		p.zones[z]++
		p.members = append(p.members, member{id: m.ID, hash: hashText(m.ID), zone: z})
	}
	for _, t := range topics {
		p.inZone[t.ID] = make([]int, len(p.zones))
		for n := range t.Partitions {
			id := flush.ID{Topic: t.ID, Partition: n}
			p.partitions = append(p.partitions, partition{id: id, hash: mix(uint64(t.ID)<<32 | uint64(n)), of: t.Partitions})
		}
	}
	slices.SortFunc(p.partitions, func(a, b partition) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.id.Topic, b.id.Topic), cmp.Compare(a.id.Partition, b.id.Partition))
	})
	if len(members) > 0 {
		p.room = bound(len(p.partitions), 1, len(members))
	}
	return p
}

// bound is what a part of n that is weight/total may be at most.
func bound(n, weight, total int) int {
	share := n * weight
	return max((share+share/slack)/total, (share+total-1)/total)
}

// place gives a partition to the first member in its ranking that has room,
// where that can be in a zone that has room for its topic.
func (p *plan) place(part *partition) string {
	inZone := p.inZone[part.id.Topic]
	var best, anywhere *member
	var bestScore, anywhereScore uint64
	for i := range p.members {
		m := &p.members[i]
		if m.held >= p.room {
			continue
		}
		score := mix(part.hash ^ m.hash)
		if anywhere == nil || m.before(score, anywhere, anywhereScore) {
			anywhere, anywhereScore = m, score
		}
		if inZone[m.zone] < bound(int(part.of), p.zones[m.zone], len(p.members)) && (best == nil || m.before(score, best, bestScore)) {
			best, bestScore = m, score
		}
	}
	if best == nil {
		best = anywhere
	}
	best.held++
	inZone[best.zone]++
	return best.id
}

// before ranks m before other. Two scores are as good as never the same; the
// ids decide then.
func (m *member) before(score uint64, other *member, otherScore uint64) bool {
	return score > otherScore || score == otherScore && m.id < other.id
}

// Order ranks members as the challengers of a dead session: all agents agree on
// who acts first, and another dead session has another first one.
func Order(session string, members []Member) []string {
	type ranked struct {
		id    string
		score uint64
	}
	all := make([]ranked, 0, len(members))
	for _, m := range members {
		all = append(all, ranked{m.ID, mix(hashText(session) ^ mix(hashText(m.ID)))})
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id)) })
	ids := make([]string, len(all))
	for i, r := range all {
		ids[i] = r.id
	}
	return ids
}

// hashText is FNV-1a, finished by mix: agents of all versions and machines must
// agree on it.
func hashText(s string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return mix(h)
}

// mix is the finisher of SplitMix64: every bit of x decides every bit of the
// result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
