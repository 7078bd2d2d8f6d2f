package producer

// view is a topic as its partitioner sees it.
type view struct{ topic *topic }

// Zone is the producer's own.
func (v view) Zone() string { return v.topic.p.cfg.zone }

// Len is how many partitions are known.
func (v view) Len() int { return len(*v.topic.partitions.Load()) }

// State reads what others write: it is of about now.
func (v view) State(partition int) PartitionState {
	pt := (*v.topic.partitions.Load())[partition]
	_, backlog := pt.share.Used()
	return PartitionState{Backlog: backlog, Reachable: !pt.owner.Load().down.Load(), Zone: *pt.zone.Load()}
}
