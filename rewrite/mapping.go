package rewrite

import (
	"github.com/google/go-containerregistry/pkg/name"

	"relocate/bundle"
)

// Move is a reference and where it was relocated to.
type Move struct {
	From string      `json:"from"`
	To   string      `json:"to"`
	Kind bundle.Kind `json:"kind"`
}

// Mapping returns, for every reference of the graph, its place in repo, in graph order. The digest is
// never changed.
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
