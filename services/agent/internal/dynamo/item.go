package dynamo

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// Attributes that every item has.
const (
	attrVersion = "version"
	attrFormat  = "format"
	attrToken   = "token" // of the write that made the item what it is
)

// MaxItem is how large an item may be, in bytes, names and all.
const MaxItem = 400 << 10

// MaxCommits is how many bytes of packed commits fit into a journal row, over
// all its segments: an item, less 8 KB for everything else in it, some 100
// bytes and 90 for each of up to 64 segments.
const MaxCommits = MaxItem - 8<<10

// encode makes the item of a row that is to stand with a header. The row stays
// as it is.
func encode(row meta.Row, head meta.Header, token []byte) (attributes, error) {
	item, err := attributevalue.MarshalMap(row)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	item[attrVersion] = number(head.Version)
	item[attrFormat] = number(uint64(head.Format))
	item[attrToken] = &types.AttributeValueMemberB{Value: token}
	if size := itemSize(item); size > MaxItem {
		return nil, fmt.Errorf("%w: it has %d bytes, and DynamoDB takes %d", meta.ErrTooLarge, size, MaxItem)
	}
	return item, nil
}

func decode(kind meta.Kind, item attributes) (meta.Row, error) {
	row, err := meta.New(kind)
	if err != nil {
		return nil, err
	}
	if err := attributevalue.UnmarshalMap(item, row); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return row, meta.CheckFormat(row)
}

// newToken is random, and so never the same for two writes.
func newToken() []byte {
	token := make([]byte, 16)
	_, _ = rand.Read(token) // never fails
	return token
}

// standing is what tells an item from others under its key.
type standing struct {
	version uint64
	token   string
}

// standingOf returns nil for no item.
func standingOf(item attributes) *standing {
	if len(item) == 0 {
		return nil
	}
	s := &standing{}
	if v, ok := item[attrVersion].(*types.AttributeValueMemberN); ok {
		s.version, _ = strconv.ParseUint(v.Value, 10, 64) // 0 is no row's
	}
	if v, ok := item[attrToken].(*types.AttributeValueMemberB); ok {
		s.token = string(v.Value)
	}
	return s
}

// itemSize is what an item counts towards MaxItem and its capacity units, by
// the rules that DynamoDB publishes. They round numbers up.
func itemSize(item attributes) int {
	n := 0
	for name, v := range item {
		n += len(name) + valueSize(v)
	}
	return n
}

func valueSize(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		digits := strings.TrimPrefix(v.Value, "-")
		return 1 + (len(digits)+1)/2 + len(v.Value) - len(digits)
	case *types.AttributeValueMemberM:
		return 3 + len(v.Value) + itemSize(v.Value)
	case *types.AttributeValueMemberL:
		n := 3 + len(v.Value)
		for _, element := range v.Value {
			n += valueSize(element)
		}
		return n
	default: // a bool or a null; rows have nothing else
		return 1
	}
}

// ItemSize is how many bytes a row takes as an item, as DynamoDB counts them for
// capacity units and storage.
func ItemSize(row meta.Row) (int, error) {
	item, err := encode(row, *row.Head(), newToken())
	if err != nil {
		return 0, err
	}
	return itemSize(item), nil
}
