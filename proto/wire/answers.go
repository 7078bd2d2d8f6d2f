package wire

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// Field numbers of producer.proto.
const (
	fieldAnswers protowire.Number = 1 // ProduceStreamResponse

	fieldBaseOffset protowire.Number = 2 // ProduceAnswer, beside fieldRequestID
	fieldError      protowire.Number = 3
)

// Answer says what became of one batch.
type Answer struct {
	RequestID  uint64
	BaseOffset uint64
	// Err is nil for a batch that was appended at BaseOffset.
	Err *streamhousev1.ProduceError
}

// Answers is a ProduceStreamResponse, for SendMsg and RecvMsg. RecvMsg reuses
// the slice.
type Answers struct{ Answers []Answer }

// answerSize is about what an answer without an error takes.
const answerSize = 2 + 2*(1+5)

func (a *Answers) marshal() (mem.BufferSlice, error) {
	out := make([]byte, 0, answerSize*len(a.Answers))
	for i := range a.Answers {
		w := &a.Answers[i]
		var detail []byte
		if w.Err != nil {
			var err error
			if detail, err = proto.Marshal(w.Err); err != nil {
				return nil, fmt.Errorf("write produce answers: %w", err)
			}
		}
		out = w.append(out, detail)
	}
	return mem.BufferSlice{mem.SliceBuffer(out)}, nil
}

func (a *Answer) append(out, detail []byte) []byte {
	size := 1 + protowire.SizeVarint(a.RequestID) + 1 + protowire.SizeVarint(a.BaseOffset)
	if a.Err != nil {
		size += 1 + protowire.SizeBytes(len(detail))
	}
	out = protowire.AppendTag(out, fieldAnswers, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(size))
	out = protowire.AppendTag(out, fieldRequestID, protowire.VarintType)
	out = protowire.AppendVarint(out, a.RequestID)
	out = protowire.AppendTag(out, fieldBaseOffset, protowire.VarintType)
	out = protowire.AppendVarint(out, a.BaseOffset)
	if a.Err != nil {
		out = protowire.AppendTag(out, fieldError, protowire.BytesType)
		out = protowire.AppendBytes(out, detail)
	}
	return out
}

func (a *Answers) unmarshal(data mem.BufferSlice) error {
	a.Answers = a.Answers[:0]
	c := newCursor(data)
	for c.left > 0 {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		if num != fieldAnswers || typ != protowire.BytesType {
			if err := c.skip(typ); err != nil {
				return err
			}
			continue
		}
		w, err := readAnswer(&c)
		if err != nil {
			return err
		}
		a.Answers = append(a.Answers, w)
	}
	return nil
}

func readAnswer(c *cursor) (Answer, error) {
	a := Answer{}
	rest, err := c.message()
	if err != nil {
		return a, err
	}
	for c.left > rest {
		num, typ, err := c.tag()
		if err != nil {
			return a, err
		}
		switch {
		case num == fieldRequestID && typ == protowire.VarintType:
			a.RequestID, err = c.varint()
		case num == fieldBaseOffset && typ == protowire.VarintType:
			a.BaseOffset, err = c.varint()
		case num == fieldError && typ == protowire.BytesType:
			a.Err, err = readError(c)
		default:
			err = c.skip(typ)
		}
		if err != nil {
			return a, err
		}
	}
	if c.left != rest {
		return a, ErrMalformed
	}
	return a, nil
}

func readError(c *cursor) (*streamhousev1.ProduceError, error) {
	n, err := c.length()
	if err != nil {
		return nil, err
	}
	flat := make([]byte, 0, n)
	for _, part := range c.take(nil, n) {
		flat = append(flat, part...)
	}
	e := &streamhousev1.ProduceError{}
	if err := proto.Unmarshal(flat, e); err != nil {
		return nil, ErrMalformed
	}
	return e, nil
}
