package dynamo

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

type attributes = map[string]types.AttributeValue

// schema says which attributes of a kind's rows are its keys. They are the
// rows' own: DynamoDB bills by the KB, and nothing is stored twice.
type schema struct {
	hash     string
	hashType types.ScalarAttributeType
	rng      string // a number; empty where a hash has only one row
}

func schemaOf(kind meta.Kind) (schema, error) {
	const text, number = types.ScalarAttributeTypeS, types.ScalarAttributeTypeN
	switch kind {
	case meta.Sessions:
		return schema{hash: "id", hashType: text}, nil
	case meta.Partitions:
		return schema{hash: "topic", hashType: number, rng: "partition"}, nil
	case meta.Journal:
		return schema{hash: "session", hashType: text, rng: "seq"}, nil
	case meta.Index:
		return schema{hash: "log", hashType: text, rng: "last"}, nil
	case meta.Merges:
		return schema{hash: "session", hashType: text, rng: "number"}, nil
	case meta.Topics, meta.Counters:
		return schema{hash: "name", hashType: text}, nil
	case meta.Tombstones:
		return schema{hash: "topic", hashType: number}, nil
	default:
		return schema{}, fmt.Errorf("no kind of row is called %q", kind)
	}
}

// key is a row's key as attributes.
func (s schema) key(key meta.Key) attributes {
	a := attributes{s.hash: s.hashValue(key.Hash)}
	if s.rng != "" {
		a[s.rng] = number(key.Range)
	}
	return a
}

func (s schema) hashValue(hash string) types.AttributeValue {
	if s.hashType == types.ScalarAttributeTypeN {
		return &types.AttributeValueMemberN{Value: hash}
	}
	return &types.AttributeValueMemberS{Value: hash}
}

func number(n uint64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(n, 10)}
}
