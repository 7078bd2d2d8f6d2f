package producertest

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

type topic struct {
	name       string
	id         uint32
	partitions []*partition
}

type partition struct {
	owner string
	epoch uint64
	log   *log
}

// CreateTopic makes a topic, anew if there is one of that name. Owners are
// given by partition.
func (c *Cluster) CreateTopic(name string, owners ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.nextID++
	c.mu.topics[name] = &topic{name: name, id: c.mu.nextID}
	c.growLocked(name, owners)
}

// Grow adds partitions to a topic.
func (c *Cluster) Grow(topic string, owners ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.growLocked(topic, owners)
}

func (c *Cluster) growLocked(topic string, owners []string) {
	t := c.topicLocked(topic)
	for _, owner := range owners {
		t.partitions = append(t.partitions, &partition{owner: owner, epoch: 1, log: newLog()})
	}
}

// DeleteTopic ends a topic. What it held can no longer be read.
func (c *Cluster) DeleteTopic(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.topics, name)
}

// Move gives a partition to another agent, with all that its owner knew.
func (c *Cluster) Move(topic string, partition int, agent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partitionLocked(topic, partition).move(agent)
}

func (p *partition) move(agent string) {
	p.owner = agent
	p.epoch++
}

// handOver moves an agent's partitions to the others.
func (c *Cluster) handOver(from string) {
	heirs := slices.DeleteFunc(c.names(), func(name string) bool { return name == from })
	c.mu.Lock()
	defer c.mu.Unlock()
	next := 0
	for _, t := range c.mu.topics {
		for _, p := range t.partitions {
			if p.owner == from && len(heirs) > 0 {
				p.move(heirs[next%len(heirs)])
				next++
			}
		}
	}
}

// ForgetProducers makes a partition's owner remember no producer.
func (c *Cluster) ForgetProducers(topic string, partition int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.partitionLocked(topic, partition).log.producers)
}

// Records returns what a partition holds, in the order of offsets.
func (c *Cluster) Records(topic string, partition int) []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.partitionLocked(topic, partition).log.records)
}

func (c *Cluster) topicLocked(name string) *topic {
	t := c.mu.topics[name]
	if t == nil {
		panic(fmt.Sprintf("producertest: no topic %q", name))
	}
	return t
}

func (c *Cluster) partitionLocked(topic string, number int) *partition {
	t := c.topicLocked(topic)
	if number < 0 || number >= len(t.partitions) {
		panic(fmt.Sprintf("producertest: topic %q has %d partitions, and no number %d", topic, len(t.partitions), number))
	}
	return t.partitions[number]
}

func (c *Cluster) byIDLocked(id uint32) *topic {
	for _, t := range c.mu.topics {
		if t.id == id {
			return t
		}
	}
	return nil
}

// append is what an agent does that may be the owner. Its refusals come in the
// order of a real agent's.
func (c *Cluster) append(a *agent, b *streamhousev1.ProduceBatch) (uint64, *reason.Error) {
	if size := len(b.GetBatch()); size > batch.MaxSize {
		return 0, reason.New(reason.TooLarge, "a batch of %d bytes, and the limit is %d", size, batch.MaxSize)
	}
	var d batch.Decoder
	h, err := d.Reset(b.GetBatch())
	if err != nil {
		return 0, reason.New(reason.CorruptBatch, "%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.byIDLocked(b.GetTopicId())
	if t == nil || int(b.GetPartition()) >= len(t.partitions) {
		return 0, reason.New(reason.UnknownTopic, "no topic with id %d and partition %d", b.GetTopicId(), b.GetPartition())
	}
	p := t.partitions[b.GetPartition()]
	switch {
	case a.isDraining():
		return 0, reason.New(reason.Draining, "agent %s is shutting down", a.name)
	case p.owner != a.name:
		return 0, reason.New(reason.NotOwner, "partition %d of %s belongs to %s", b.GetPartition(), t.name, p.owner).
			With(reason.MetaOwner, Address(p.owner))
	}
	return p.log.append(&d, h)
}

// validName is what agents take for a topic's name.
var validName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// describer answers for all topics, on every agent.
type describer struct {
	streamhousev1.UnimplementedTopicServiceServer
	agent *agent
}

// DescribeTopic is the one call that producers make.
func (d *describer) DescribeTopic(_ context.Context, req *streamhousev1.DescribeTopicRequest) (*streamhousev1.DescribeTopicResponse, error) {
	c, name := d.agent.cluster, req.GetName()
	if refuse := c.noteDescribe(); refuse != nil {
		if err := refuse(name); err != nil {
			return nil, err
		}
	}
	if !validName.MatchString(name) || name == "." || name == ".." {
		return nil, reason.New(reason.InvalidArgument, "topic name %q", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.mu.topics[name]
	if t == nil {
		return nil, reason.New(reason.UnknownTopic, "no topic %q: create it first", name)
	}
	resp := &streamhousev1.DescribeTopicResponse{
		Topic: &streamhousev1.Topic{Name: t.name, Id: t.id, PartitionCount: uint32(len(t.partitions))},
	}
	for i, p := range t.partitions {
		described := &streamhousev1.Partition{
			Partition: uint32(i), Owner: p.owner, Address: Address(p.owner), Zone: c.mu.zones[p.owner], Epoch: p.epoch,
		}
		if p.owner == d.agent.name {
			end := uint64(len(p.log.records))
			described.EndOffset = &end
		}
		resp.Partitions = append(resp.Partitions, described)
	}
	return resp, nil
}

func (c *Cluster) noteDescribe() func(topic string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.counts.Described++
	return c.mu.describe
}
