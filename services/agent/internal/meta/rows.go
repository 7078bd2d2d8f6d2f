package meta

import (
	"fmt"
	"strconv"
)

// Kind names a kind of row; a backend keeps each in a table of its own.
type Kind string

// The kinds.
const (
	Sessions   Kind = "sessions"
	Partitions Kind = "partitions"
	Journal    Kind = "journal"
	Index      Kind = "index"
	Merges     Kind = "merges"
	Topics     Kind = "topics"
	Tombstones Kind = "tombstones"
	Counters   Kind = "counters"
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{Sessions, Partitions, Journal, Index, Merges, Topics, Tombstones, Counters}
}

// New returns an empty row of a kind, for a backend to read into.
func New(kind Kind) (Row, error) {
	switch kind {
	case Sessions:
		return &Session{}, nil
	case Partitions:
		return &Partition{}, nil
	case Journal:
		return &Entry{}, nil
	case Index:
		return &Run{}, nil
	case Merges:
		return &Merge{}, nil
	case Topics:
		return &Topic{}, nil
	case Tombstones:
		return &Tombstone{}, nil
	case Counters:
		return &Counter{}, nil
	default:
		return nil, fmt.Errorf("no kind of row is called %q", kind)
	}
}

// Session is one run of an agent process. Its owner raises Beat by Swap;
// whoever takes its partitions over sets Sealed by Swap, and from then on the
// owner's heartbeats are refused.
type Session struct {
	Header
	ID string `json:"id" dynamodbav:"id"`
	// Agent is the name that the agent was given; two processes with one name
	// are still two sessions.
	Agent     string            `json:"agent" dynamodbav:"agent"`
	Addresses map[string]string `json:"addresses" dynamodbav:"addresses"`
	Zone      string            `json:"zone,omitempty" dynamodbav:"zone,omitempty"`
	// Release is the version of the agent's program; ReadsFormat the newest
	// row and object format that it reads. Nobody writes a format that a live
	// session does not read.
	Release     string `json:"release" dynamodbav:"release"`
	ReadsFormat int    `json:"reads_format" dynamodbav:"reads_format"`
	// Beat counts heartbeats. That it stands still for LeaseMillis, watched on
	// the watcher's own clock, is what lets others act.
	Beat        uint64 `json:"beat" dynamodbav:"beat"`
	LeaseMillis int64  `json:"lease_ms" dynamodbav:"lease_ms"`
	Sealed      bool   `json:"sealed" dynamodbav:"sealed"`
	// Leaving is set by the owner when it drains: nothing more should be
	// assigned to it.
	Leaving bool `json:"leaving,omitempty" dynamodbav:"leaving,omitempty"`
	// StartedMillis is informative: clocks of two machines are never compared.
	StartedMillis int64 `json:"started_ms" dynamodbav:"started_ms"`
}

// Kind implements Row.
func (*Session) Kind() Kind { return Sessions }

// Key implements Row.
func (s *Session) Key() Key { return Key{Hash: s.ID} }

// Tenure is one period in which one session owned a partition.
type Tenure struct {
	Session string `json:"session" dynamodbav:"session"`
	Epoch   uint64 `json:"epoch" dynamodbav:"epoch"`
	// Start and End are offsets; End is the next tenure's start.
	Start uint64 `json:"start" dynamodbav:"start"`
	End   uint64 `json:"end" dynamodbav:"end"`
	// FirstSeq and EndSeq bound the rows of Session's journal among which the
	// tenure's commits stand: FirstSeq <= seq < EndSeq.
	FirstSeq uint64 `json:"first_seq" dynamodbav:"first_seq"`
	EndSeq   uint64 `json:"end_seq" dynamodbav:"end_seq"`
}

// Checkpoint says what compaction has merged: all offsets below End. Only the
// index rows that it names count.
type Checkpoint struct {
	End uint64 `json:"end" dynamodbav:"end"`
	// Bytes is the size of all batches below End, since the log's beginning.
	Bytes uint64 `json:"bytes,omitempty" dynamodbav:"bytes,omitempty"`
	// Compactions are those whose index rows lead from LogStart to End, oldest
	// first.
	Compactions []Compaction `json:"compactions,omitempty" dynamodbav:"compactions,omitempty"`
}

// Compaction is one writer of a partition's index. Its rows count as far as
// they lie below End, and not below the End of the one before it.
type Compaction struct {
	ID  uint64 `json:"id" dynamodbav:"id"`
	End uint64 `json:"end" dynamodbav:"end"`
}

// Names says whether the checkpoint names the rows of a compaction that begin at
// an offset.
func (c *Checkpoint) Names(compaction, base uint64) bool {
	for i := range c.Compactions {
		if base < c.Compactions[i].End {
			return c.Compactions[i].ID == compaction
		}
	}
	return false
}

// At returns the compaction whose rows hold an offset; ok is false from End on.
func (c *Checkpoint) At(offset uint64) (_ Compaction, ok bool) {
	for _, g := range c.Compactions {
		if offset < g.End {
			return g, true
		}
	}
	return Compaction{}, false
}

// Partition is who may append to a partition, and where its log stands. It is
// never deleted while its topic lives.
type Partition struct {
	Header
	Topic     uint32 `json:"topic" dynamodbav:"topic"`
	Partition uint32 `json:"partition" dynamodbav:"partition"`
	// Owner is the session that holds the lease; empty while nobody does.
	Owner string `json:"owner" dynamodbav:"owner"`
	// Epoch rises by one at every acquisition and never falls.
	Epoch uint64 `json:"epoch" dynamodbav:"epoch"`
	// Start is the offset at which the present tenure began; while there is no
	// owner, the log's end.
	Start uint64 `json:"start" dynamodbav:"start"`
	// FirstSeq is the seq of Owner's journal from which on commits of this
	// tenure can stand.
	FirstSeq uint64 `json:"first_seq" dynamodbav:"first_seq"`
	// LogStart is the first offset that can be read.
	LogStart   uint64     `json:"log_start" dynamodbav:"log_start"`
	Checkpoint Checkpoint `json:"checkpoint" dynamodbav:"checkpoint"`
	// Tenures are the earlier ones that Checkpoint does not cover, oldest
	// first. One in which nothing was appended is left out.
	Tenures []Tenure `json:"tenures,omitempty" dynamodbav:"tenures,omitempty"`
	// State is the key of the object that holds the retry state of all
	// producers as it was when the partition was released or checkpointed;
	// what was committed at StateEnd or later is not in it. StateEnd is never
	// below Checkpoint.End.
	State    string `json:"state,omitempty" dynamodbav:"state,omitempty"`
	StateEnd uint64 `json:"state_end,omitempty" dynamodbav:"state_end,omitempty"`
}

// Kind implements Row.
func (*Partition) Kind() Kind { return Partitions }

// Key implements Row.
func (p *Partition) Key() Key {
	return Key{Hash: TopicHash(p.Topic), Range: uint64(p.Partition)}
}

// TopicHash is the hash key of what belongs to a topic.
func TopicHash(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// Entry is a row of a session's journal: a commit, or the seal.
type Entry struct {
	Header
	Session string `json:"session" dynamodbav:"session"`
	Seq     uint64 `json:"seq" dynamodbav:"seq"`
	// Seal ends the journal; By is the session that set it.
	Seal bool   `json:"seal,omitempty" dynamodbav:"seal,omitempty"`
	By   string `json:"by,omitempty" dynamodbav:"by,omitempty"`
	// Segments are the objects that the row commits, in order. A partition may
	// be in several of them.
	Segments []Segment `json:"segments,omitempty" dynamodbav:"segments,omitempty"`
}

// Segment is an object that a commit names.
type Segment struct {
	Key string `json:"key" dynamodbav:"key"`
	// Size is the object's length.
	Size int64 `json:"size" dynamodbav:"size"`
	// Commits says what the object appends to which partition, packed (see
	// package journal).
	Commits []byte `json:"commits,omitempty" dynamodbav:"commits,omitempty"`
}

// Kind implements Row.
func (*Entry) Kind() Kind { return Journal }

// Key implements Row.
func (e *Entry) Key() Key { return Key{Hash: e.Session, Range: e.Seq} }

// Run is a row of the index: records of one partition that stand, in one piece,
// in an object that a compaction wrote.
type Run struct {
	Header
	// Log is the partition and the compaction; see RunHash.
	Log string `json:"log" dynamodbav:"log"`
	// Last is the offset of the last record, and Base that of the first. Rows are
	// sorted by Last: the first from an offset on is the one that holds it.
	Last uint64 `json:"last" dynamodbav:"last"`
	Base uint64 `json:"base" dynamodbav:"base"`
	// Object is the key of the object, and Size its length; At is where the run
	// begins in it.
	Object string `json:"object" dynamodbav:"object"`
	Size   int64  `json:"size" dynamodbav:"size"`
	At     uint64 `json:"at" dynamodbav:"at"`
	// Blocks divide the run into pieces to read at a time, packed (see package
	// index).
	Blocks []byte `json:"blocks" dynamodbav:"blocks"`
	// Total is the size of all batches of the partition up to Last, since the
	// log's beginning.
	Total uint64 `json:"total" dynamodbav:"total"`
	// MaxTimestamp is the latest of the records', in ms since the epoch.
	MaxTimestamp int64 `json:"max_timestamp" dynamodbav:"max_timestamp"`
	// MergedMillis is when the row was made, by its writer's clock: retention
	// counts from there.
	MergedMillis int64 `json:"merged_ms" dynamodbav:"merged_ms"`
}

// Kind implements Row.
func (*Run) Kind() Kind { return Index }

// Key implements Row.
func (r *Run) Key() Key { return Key{Hash: r.Log, Range: r.Last} }

// RunHash is the hash key of the rows that one compaction wrote for a partition.
func RunHash(topic, partition uint32, compaction uint64) string {
	return fmt.Sprintf("%d/%d/%016x", topic, partition, compaction)
}

// Merge is an object that a session's compaction writes, and of what it says that
// it is part. It stands before the object does and goes after it, so that none
// is ever forgotten.
type Merge struct {
	Header
	Session string `json:"session" dynamodbav:"session"`
	// Number counts the session's merges.
	Number uint64 `json:"number" dynamodbav:"number"`
	// Object is the object's key.
	Object string `json:"object" dynamodbav:"object"`
	// Parts are the runs in it, packed (see package index).
	Parts []byte `json:"parts" dynamodbav:"parts"`
}

// Kind implements Row.
func (*Merge) Kind() Kind { return Merges }

// Key implements Row.
func (m *Merge) Key() Key { return Key{Hash: m.Session, Range: m.Number} }

// Topic names a log. Everything else refers to its id. The row outlives the
// topic, marked as deleted, so that its version tells a topic from a later one
// of the same name.
type Topic struct {
	Header
	Name       string `json:"name" dynamodbav:"name"`
	ID         uint32 `json:"id" dynamodbav:"id"`
	Partitions uint32 `json:"partitions" dynamodbav:"partitions"`
	Deleted    bool   `json:"deleted,omitempty" dynamodbav:"deleted,omitempty"`
	// RetentionMillis is how long records are kept at least, RetentionBytes how
	// much of each partition; 0 is without limit. What either lets go is removed.
	RetentionMillis int64 `json:"retention_ms,omitempty" dynamodbav:"retention_ms,omitempty"`
	RetentionBytes  int64 `json:"retention_bytes,omitempty" dynamodbav:"retention_bytes,omitempty"`
}

// Kind implements Row.
func (*Topic) Kind() Kind { return Topics }

// Key implements Row.
func (t *Topic) Key() Key { return Key{Hash: t.Name} }

// Tombstone marks the id of a deleted topic, whose rows and objects are
// removed in the background.
type Tombstone struct {
	Header
	Topic uint32 `json:"topic" dynamodbav:"topic"`
	Name  string `json:"name" dynamodbav:"name"`
	// Cleaned says that the topic's partitions are gone, and what they named.
	Cleaned bool `json:"cleaned,omitempty" dynamodbav:"cleaned,omitempty"`
}

// Kind implements Row.
func (*Tombstone) Kind() Kind { return Tombstones }

// Key implements Row.
func (t *Tombstone) Key() Key { return Key{Hash: TopicHash(t.Topic)} }

// Counter hands out numbers that are never used twice.
type Counter struct {
	Header
	Name string `json:"name" dynamodbav:"name"`
	Last uint64 `json:"last" dynamodbav:"last"`
}

// Kind implements Row.
func (*Counter) Kind() Kind { return Counters }

// Key implements Row.
func (c *Counter) Key() Key { return Key{Hash: c.Name} }
