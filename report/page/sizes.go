package page

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/carvel"
)

// maxSteps limits the walk that computes sizes: content that many packages share is walked for each
// of them, and a graph can be made so that this is the square of its size.
const maxSteps = 20_000_000

// sizes computes what sets of manifests need. Manifests and blobs are numbers here: indexes in the
// plan.
type sizes struct {
	plan     *bundle.Plan
	node     map[v1.Hash]int32 // in plan.Graph.Nodes
	own      [][]int32         // by node: its manifest, config and layers that are carried, in plan.Blobs
	children [][]int32         // by node
	left     int               // steps that may still be taken

	nodeSeen, blobSeen []int32 // the walk that saw it last
	walks              int32
}

func newSizes(plan *bundle.Plan) *sizes {
	nodes := plan.Graph.Nodes
	s := &sizes{
		plan: plan, node: make(map[v1.Hash]int32, len(nodes)), left: maxSteps,
		own: make([][]int32, len(nodes)), children: make([][]int32, len(nodes)),
		nodeSeen: make([]int32, len(nodes)), blobSeen: make([]int32, len(plan.Blobs)),
	}
	blobs := make(map[v1.Hash]int32, len(plan.Blobs))
	for i, b := range plan.Blobs {
		blobs[b.Descriptor.Digest] = int32(i)
	}
	for i, n := range nodes {
		s.node[n.Descriptor.Digest] = int32(i)
	}
	for i, n := range nodes {
		if b, ok := blobs[n.Descriptor.Digest]; ok {
			s.own[i] = append(s.own[i], b)
		}
		for _, d := range n.Blobs {
			if b, ok := blobs[d.Digest]; ok { // or it is left out
				s.own[i] = append(s.own[i], b)
			}
		}
		for _, d := range n.Children {
			if c, ok := s.node[d]; ok {
				s.children[i] = append(s.children[i], c)
			}
		}
	}
	return s
}

// mostBlob is the most that a blob counts for. A registry can claim any size, and sums must not
// overflow.
const mostBlob = 1 << 42

// size returns the bytes of a blob.
func (s *sizes) size(blob int32) int64 { return min(s.plan.Blobs[blob].Descriptor.Size, mostBlob) }

// of returns the index of the manifest d, if the plan has it.
func (s *sizes) of(d v1.Hash) (int32, bool) {
	i, ok := s.node[d]
	return i, ok
}

// reach calls visit once for each blob that the manifests from and all below them need. With into,
// it follows the children of a manifest only if into accepts its kind. It returns false when it ran
// out of steps.
func (s *sizes) reach(from []int32, into func(bundle.Kind) bool, visit func(blob int32)) bool {
	s.walks++
	stack := make([]int32, 0, 64)
	push := func(list []int32) {
		for _, n := range list {
			s.left--
			if s.nodeSeen[n] != s.walks {
				s.nodeSeen[n] = s.walks
				stack = append(stack, n)
			}
		}
	}
	push(from)
	for len(stack) > 0 && s.left > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, b := range s.own[n] {
			s.left--
			if s.blobSeen[b] != s.walks {
				s.blobSeen[b] = s.walks
				visit(b)
			}
		}
		if into == nil || into(s.plan.Graph.Nodes[n].Kind) {
			push(s.children[n])
		}
	}
	return s.left > 0
}

// image returns what a machine without any of it fetches for the manifest n: its own blobs and, of
// an index, those of all its platforms; not what a bundle's lock names. It is -1 when that is not
// known.
func (s *sizes) image(n int32) int64 {
	var sum int64
	if !s.reach([]int32{n}, func(k bundle.Kind) bool { return k == bundle.Index }, func(b int32) { sum += s.size(b) }) {
		return -1
	}
	return sum
}

// fetched returns the manifests that a version of a package fetches.
func (s *sizes) fetched(p *carvel.Package) []int32 {
	var list []int32
	for _, f := range p.Fetches {
		if n, ok := s.of(f.Digest); ok {
			list = append(list, n)
		}
	}
	return list
}

// What a blob belongs to in an owners list, when it is not one thing.
const (
	nobody  = -1
	several = -2
)

// versionSizes is what versions of packages need.
type versionSizes struct {
	all   []int64 // by version: distinct bytes of what it fetches and of all that this needs; -1 where none of it is carried
	only  []int64 // by version: those that no other version needs
	names []int32 // by blob: the package, by its place in the list, nobody or several
	known bool    // false: too much to compute
}

// versions computes the sizes of a list of packages, each of which has versions.
func (s *sizes) versions(list []pagePackage) versionSizes {
	v := versionSizes{names: make([]int32, len(s.plan.Blobs))}
	owner := make([]int32, len(s.plan.Blobs)) // a version, nobody or several
	for b := range owner {
		owner[b], v.names[b] = nobody, nobody
	}
	own := func(owner *int32, by int32) {
		switch *owner {
		case nobody, by:
			*owner = by
		default:
			*owner = several
		}
	}
	for i, p := range list {
		for _, version := range p.versions {
			this := int32(len(v.all))
			var sum int64
			from := s.fetched(&version)
			all := s.reach(from, nil, func(b int32) {
				sum += s.size(b)
				own(&owner[b], this)
				own(&v.names[b], int32(i))
			})
			if !all {
				return versionSizes{}
			}
			if len(from) == 0 {
				sum = -1
			}
			v.all = append(v.all, sum)
		}
	}
	v.only = make([]int64, len(v.all))
	for b, by := range owner {
		if by >= 0 {
			v.only[by] += s.size(int32(b))
		}
	}
	v.known = true
	return v
}
