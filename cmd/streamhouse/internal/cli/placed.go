package cli

import "github.com/streamhouse/streamhouse/libs/producer"

// placed is a partitioner that takes a record's partition where it has one,
// 0 or more, and asks another partitioner where it has none.
type placed struct{ otherwise producer.Partitioner }

func (p placed) ForTopic(topic string) producer.TopicPartitioner {
	return placedTopic{p.otherwise.ForTopic(topic)}
}

type placedTopic struct{ otherwise producer.TopicPartitioner }

func (p placedTopic) Pick(rec producer.Record, partitions int) int {
	if rec.Partition >= 0 {
		return int(rec.Partition)
	}
	return p.otherwise.Pick(rec, partitions)
}

// BatchClosed implements producer.BatchObserver.
func (p placedTopic) BatchClosed(partition int) {
	if o, ok := p.otherwise.(producer.BatchObserver); ok {
		o.BatchClosed(partition)
	}
}
