package wire

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of producer.proto.
const (
	fieldBatches protowire.Number = 1 // ProduceStreamRequest

	fieldRequestID protowire.Number = 1 // ProduceBatch
	fieldTopicID   protowire.Number = 2
	fieldPartition protowire.Number = 3
	fieldBatch     protowire.Number = 4
)

// copyBelow is the size up to which a batch is copied beside its header: a
// buffer of its own costs more than so small a copy.
const copyBelow = 1 << 10

// Batch is one encoded batch on its way to an agent.
type Batch struct {
	RequestID uint64
	TopicID   uint32
	Partition uint32
	// Data is the batch. gRPC refers to it and does not copy it: it must stay
	// as it is until the batch was answered or its stream has ended.
	Data []byte
}

// Request is a ProduceStreamRequest to be sent with SendMsg.
type Request struct{ Batches []Batch }

// maxHeader is what the fields of one batch take at most, its data aside:
// four tags of a byte each, two lengths, and the numbers.
const maxHeader = 4 + 2*5 + 10 + 5 + 5 + 1

func (r *Request) marshal() mem.BufferSlice {
	size := 0
	for i := range r.Batches {
		size += maxHeader
		if n := len(r.Batches[i].Data); n < copyBelow {
			size += n
		}
	}
	head := make([]byte, 0, size)
	out := make(mem.BufferSlice, 0, 2*len(r.Batches))
	from := 0
	for i := range r.Batches {
		b := &r.Batches[i]
		head = b.appendHeader(head)
		if len(b.Data) < copyBelow {
			head = append(head, b.Data...)
			continue
		}
		out = append(out, mem.SliceBuffer(head[from:len(head):len(head)]), mem.SliceBuffer(b.Data))
		from = len(head)
	}
	if from < len(head) {
		out = append(out, mem.SliceBuffer(head[from:]))
	}
	return out
}

// appendHeader writes everything of the batch's message but the data itself,
// which is its last field.
func (b *Batch) appendHeader(dst []byte) []byte {
	size := 1 + protowire.SizeVarint(b.RequestID) +
		1 + protowire.SizeVarint(uint64(b.TopicID)) +
		1 + protowire.SizeVarint(uint64(b.Partition)) +
		1 + protowire.SizeBytes(len(b.Data))
	dst = protowire.AppendTag(dst, fieldBatches, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, fieldRequestID, protowire.VarintType)
	dst = protowire.AppendVarint(dst, b.RequestID)
	dst = protowire.AppendTag(dst, fieldTopicID, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(b.TopicID))
	dst = protowire.AppendTag(dst, fieldPartition, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(b.Partition))
	dst = protowire.AppendTag(dst, fieldBatch, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(len(b.Data)))
}
