// Package wire carries batches over gRPC without copying them. Its codec
// speaks standard protobuf: a client or an agent built on generated code alone
// meets the same bytes. What it adds are three Go types for the messages of
// ProducerService.ProduceStream that refer to bytes where they lie:
//
//   - [Request], a ProduceStreamRequest to be sent;
//   - [Arrival], a ProduceStreamRequest as it came in, in gRPC's own buffers;
//   - [Answers], a ProduceStreamResponse, both ways.
//
// The codec is forced on one connection or one server. It is never registered,
// so it does not change what other gRPC code in the process does.
package wire

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// MaxMessageSize is the largest gRPC message that agents take and send, in
// bytes.
const MaxMessageSize = 16 << 20

// ErrMalformed is returned for bytes that are no ProduceStream message.
var ErrMalformed = errors.New("malformed message")

// Codec returns the codec, for grpc.ForceCodecV2 and grpc.ForceServerCodecV2.
// It is safe for concurrent use.
func Codec() encoding.CodecV2 {
	return codec{standard: encoding.GetCodecV2(proto.Name)}
}

type codec struct{ standard encoding.CodecV2 }

func (codec) Name() string { return proto.Name }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *Request:
		return m.marshal(), nil
	case *Answers:
		return m.marshal()
	default:
		return c.standard.Marshal(v)
	}
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *Arrival:
		if err := m.unmarshal(data); err != nil {
			return fmt.Errorf("read produce request: %w", err)
		}
		return nil
	case *Answers:
		if err := m.unmarshal(data); err != nil {
			return fmt.Errorf("read produce answers: %w", err)
		}
		return nil
	default:
		return c.standard.Unmarshal(data, v)
	}
}
