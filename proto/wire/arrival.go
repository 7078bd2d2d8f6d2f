package wire

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Arrival is a ProduceStreamRequest as it came in, to be filled by RecvMsg. It
// keeps gRPC's receive buffers until Free, which must be called exactly once
// after every successful RecvMsg and makes the Arrival fit for the next one.
type Arrival struct {
	Batches []ArrivedBatch

	data  mem.BufferSlice
	views [][]byte // what all batches' Parts point into, kept for its capacity
}

// ArrivedBatch is one batch of an Arrival.
type ArrivedBatch struct {
	RequestID uint64
	TopicID   uint32
	Partition uint32
	// Parts are the batch's bytes, in order, cut where gRPC's buffers end.
	// They must not be changed and are gone after Free.
	Parts [][]byte
	// Size is the sum of the parts' lengths.
	Size int

	first, last int // Parts, as indexes into views, while views may still move
}

// Free gives the buffers back to gRPC.
func (a *Arrival) Free() {
	a.data.Free()
	a.data = nil
	clear(a.views)
	a.views = a.views[:0]
	clear(a.Batches)
	a.Batches = a.Batches[:0]
}

// unmarshal reads the message and keeps data referenced.
func (a *Arrival) unmarshal(data mem.BufferSlice) error {
	a.Batches, a.views = a.Batches[:0], a.views[:0]
	c := newCursor(data)
	for c.left > 0 {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		if num != fieldBatches || typ != protowire.BytesType {
			if err := c.skip(typ); err != nil {
				return err
			}
			continue
		}
		if err := a.readBatch(&c); err != nil {
			return err
		}
	}
	for i := range a.Batches {
		b := &a.Batches[i]
		b.Parts = a.views[b.first:b.last:b.last]
	}
	data.Ref()
	a.data = data
	return nil
}

// readBatch reads one ProduceBatch. As in all of protobuf, fields may come in
// any order and the last one of a number counts.
func (a *Arrival) readBatch(c *cursor) error {
	rest, err := c.message()
	if err != nil {
		return err
	}
	b := ArrivedBatch{}
	for c.left > rest {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		if err := a.readField(c, &b, num, typ); err != nil {
			return err
		}
	}
	if c.left != rest {
		return ErrMalformed
	}
	a.Batches = append(a.Batches, b)
	return nil
}

func (a *Arrival) readField(c *cursor, b *ArrivedBatch, num protowire.Number, typ protowire.Type) error {
	switch {
	case num == fieldBatch && typ == protowire.BytesType:
		n, err := c.length()
		if err != nil {
			return err
		}
		b.first = len(a.views)
		a.views = c.take(a.views, n)
		b.last, b.Size = len(a.views), n
		return nil
	case typ == protowire.VarintType && num <= fieldPartition:
		v, err := c.varint()
		if err != nil {
			return err
		}
		switch num {
		case fieldRequestID:
			b.RequestID = v
		case fieldTopicID:
			b.TopicID = uint32(v)
		case fieldPartition:
			b.Partition = uint32(v)
		}
		return nil
	default:
		return c.skip(typ)
	}
}
