package verify

import "errors"

// Options say what to read.
type Options struct {
	// Topic is the only topic to read, by name; empty: all, and what no row
	// names.
	Topic string
	// Started, if set, is called once it is known how many objects there are;
	// done tells how many were looked at and is safe for concurrent use.
	Started func(objects int64, done func() int64)
}

// ErrNoTopic is returned for a topic that the store does not have.
var ErrNoTopic = errors.New("no such topic")

// maxUnnamed bounds how many objects that no row names are listed.
const maxUnnamed = 1000

// Report counts what was checked.
type Report struct {
	Topics      int `json:"topics"`
	Sessions    int `json:"sessions"`
	Seals       int `json:"seals"`
	JournalRows int `json:"journal_rows"`
	Segments    int `json:"segments"`
	// IndexRows are those that checkpoints name, and Merged the objects that these
	// name.
	IndexRows int `json:"index_rows"`
	Merged    int `json:"merged_objects"`
	// Batches are those of Segments, and those of Merged that index rows name.
	Batches int `json:"batches"`
	// Bytes are those of all objects that were read; Records and States, the
	// producer states, those in them.
	Bytes   int64  `json:"bytes"`
	Records uint64 `json:"records"`
	States  int    `json:"states"`
	// Partitions are sorted by topic and partition.
	Partitions []Partition `json:"partitions"`
	// Unnamed are objects that no row names: second copies, PUTs that were never
	// committed, or are about to be, producer states of earlier releases, and what
	// compaction wrote without its rows coming to count, or is about to be removed.
	// They are no faults. The first thousand are listed.
	Unnamed      []Unnamed `json:"unnamed"`
	UnnamedCount int       `json:"unnamed_count"`
	UnnamedBytes int64     `json:"unnamed_bytes"`
}

// Partition is what one partition's log holds.
type Partition struct {
	Topic     string `json:"topic"`
	Partition uint32 `json:"partition"`
	Start     uint64 `json:"start_offset"`
	End       uint64 `json:"end_offset"`
	// Digest is over the batches from First on, which is Start unless a batch
	// begins before it.
	First  uint64 `json:"-"`
	Digest Digest `json:"-"`
}

// Unnamed is an object that no row names.
type Unnamed struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
	// Sealed says that its session's journal is sealed: no row can name it any
	// more.
	Sealed bool `json:"sealed"`
}

// addUnnamed lists an object that no row names.
func (r *Report) addUnnamed(u Unnamed) {
	r.UnnamedCount++
	r.UnnamedBytes += u.Size
	if len(r.Unnamed) < maxUnnamed {
		r.Unnamed = append(r.Unnamed, u)
	}
}
