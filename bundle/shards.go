package bundle

import (
	"cmp"
	"container/heap"
	"slices"
)

// MostShards is the most shards that a plan is dealt to.
const MostShards = 1000

// Shards deals the layers and configs of the plan to n plans, n from 1 to MostShards, of about as many bytes each: the
// largest first, each to the one that has the fewest bytes so far. Blobs of one size are dealt in file order. Each
// plan has its blobs in file order, and no manifests. The result depends on the plan's blobs and n alone, so that
// machines that know nothing of each other deal alike.
func (p *Plan) Shards(n int) []*Plan {
	var order []int
	for i, b := range p.Blobs {
		if !b.IsManifest {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(p.Blobs[b].Descriptor.Size, p.Blobs[a].Descriptor.Size)
	})
	of, loads := make([]int, len(p.Blobs)), make(loads, n)
	for shard := range loads {
		loads[shard].shard = shard
	}
	for _, i := range order {
		of[i] = loads[0].shard
		loads[0].bytes += p.Blobs[i].Descriptor.Size
		heap.Fix(&loads, 0)
	}
	shards := make([]*Plan, n)
	for i := range shards {
		shards[i] = &Plan{Graph: p.Graph, Omitted: p.Omitted, Bases: p.Bases, Assumed: p.Assumed}
	}
	for i, b := range p.Blobs {
		if b.IsManifest {
			continue
		}
		s := shards[of[i]]
		s.Blobs = append(s.Blobs, b)
		if i < p.Small {
			s.Small++
		}
	}
	return shards
}

// loads is a heap of shards, the least loaded first.
type loads []struct {
	shard int
	bytes int64
}

// Len implements heap.Interface.
func (l loads) Len() int { return len(l) }

// Less implements heap.Interface.
func (l loads) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(l[i].bytes, l[j].bytes), cmp.Compare(l[i].shard, l[j].shard)) < 0
}

// Swap implements heap.Interface.
func (l loads) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface. The number of shards does not change.
func (l loads) Push(any) {}

// Pop implements heap.Interface.
func (l loads) Pop() any { return nil }
