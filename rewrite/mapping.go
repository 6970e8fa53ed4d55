package rewrite

import (
	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
)

// Move is a reference before and after a relocation.
type Move struct {
	From string      `json:"from"`
	To   string      `json:"to"`
	Kind bundle.Kind `json:"kind"`
}

// Mapping returns for every reference of the graph the one in repo, in the order of the graph.
// Digests stay the same.
func Mapping(g *bundle.Graph, repo name.Repository) []Move {
	var moves []Move
	for _, n := range g.Nodes {
		to := repo.Digest(n.Descriptor.Digest.String()).Name()
		for _, from := range n.References {
			moves = append(moves, Move{from, to, n.Kind})
		}
	}
	return moves
}
