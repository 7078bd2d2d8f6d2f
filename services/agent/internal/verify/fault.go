package verify

import (
	"fmt"
	"strings"
)

// FaultError is something that is not as the protocol has it, and where. What does
// not apply is nil or empty.
type FaultError struct {
	// What is wrong, and what was expected.
	What    string  `json:"what"`
	Session string  `json:"session,omitempty"`
	Seq     *uint64 `json:"seq,omitempty"`
	// Row is that of the index, or of a merge.
	Row  string `json:"row,omitempty"`
	Key  string `json:"key,omitempty"`
	Byte *int64 `json:"byte,omitempty"`
	// Topic is a name; of a topic that has none any more, its id.
	Topic     string  `json:"topic,omitempty"`
	Partition *uint32 `json:"partition,omitempty"`
	Offset    *uint64 `json:"offset,omitempty"`
}

// Error tells the place first, from the outside in.
func (f *FaultError) Error() string {
	var place []string
	add := func(format string, args ...any) { place = append(place, fmt.Sprintf(format, args...)) }
	if f.Session != "" {
		add("session %s", f.Session)
	}
	if f.Seq != nil {
		add("journal row %d", *f.Seq)
	}
	if f.Row != "" {
		add("%s", f.Row)
	}
	if f.Key != "" {
		add("object %s", f.Key)
	}
	if f.Byte != nil {
		add("byte %d", *f.Byte)
	}
	if f.Topic != "" {
		add("topic %s", f.Topic)
	}
	if f.Partition != nil {
		add("partition %d", *f.Partition)
	}
	if f.Offset != nil {
		add("offset %d", *f.Offset)
	}
	return strings.Join(place, ", ") + ": " + f.What
}

// at adds what is known of a place to a fault that has nothing of it.
func (f FaultError) at(session string, seq uint64) *FaultError {
	f.Session, f.Seq = session, &seq
	return &f
}

// wrong makes a fault of a format.
func wrong(format string, args ...any) FaultError {
	return FaultError{What: fmt.Sprintf(format, args...)}
}

// of adds the partition and an offset in it.
func (f FaultError) of(p *partition, offset uint64) FaultError {
	f.Topic, f.Partition, f.Offset = p.topic, new(p.row.Partition), &offset
	return f
}

// named adds the index row that names an object.
func (f FaultError) named(key, log string, last uint64) FaultError {
	f.Key, f.Row = key, fmt.Sprintf("index row %s at %d", log, last)
	return f
}

// in adds a byte of an object.
func (f FaultError) in(key string, at int64) FaultError {
	f.Key, f.Byte = key, &at
	return f
}
