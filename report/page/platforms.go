package page

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/oci"
)

// maxConfig is the size of the largest config that is read, as in a walk.
const maxConfig = 4 << 20

// mostPlatforms is how many platforms of an image are shown.
const mostPlatforms = 64

// Platforms returns the platforms of each manifest, as "os/architecture/variant", sorted: for an
// index and its children what the index says, for other images what their config says. A manifest
// whose platform cannot be read, or is not valid, has none: a page does not report that. The only
// error is ctx's.
func Platforms(ctx context.Context, src bundle.Source, plan *bundle.Plan, jobs int) (map[v1.Hash][]string, error) {
	p := &platforms{of: map[v1.Hash][]string{}}
	var indexes, alone []*bundle.Node
	for _, n := range plan.Graph.Nodes {
		if n.Kind == bundle.Index {
			indexes = append(indexes, n)
		}
	}
	err := eachNode(ctx, indexes, jobs, func(ctx context.Context, n *bundle.Node) {
		for child, name := range platformsInIndex(ctx, src, n) {
			if plan.Graph.Node(child) != nil {
				p.add(child, name)
				p.add(n.Descriptor.Digest, name)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, n := range plan.Graph.Nodes {
		if n.Kind == bundle.Plain && len(p.of[n.Descriptor.Digest]) == 0 {
			alone = append(alone, n)
		}
	}
	err = eachNode(ctx, alone, jobs, func(ctx context.Context, n *bundle.Node) {
		p.add(n.Descriptor.Digest, platformInConfig(ctx, src, n))
	})
	return p.of, err
}

// eachNode calls look for each of a list, so many at a time.
func eachNode(ctx context.Context, list []*bundle.Node, jobs int, look func(context.Context, *bundle.Node)) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(jobs, 1))
	for _, n := range list {
		if running.Err() != nil {
			break
		}
		g.Go(func() error { look(running, n); return running.Err() })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// platforms collects platforms by manifest, from several goroutines in any order.
type platforms struct {
	mu sync.Mutex
	of map[v1.Hash][]string
}

// add keeps the first platforms in sorted order, so that the order of the calls does not matter.
func (p *platforms) add(d v1.Hash, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.of[d]
	if at, found := slices.BinarySearch(list, name); name != "" && !found {
		list = slices.Insert(list, at, name)
		p.of[d] = list[:min(len(list), mostPlatforms)]
	}
}

// platform is what an index says of a child, and a config of its image.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// platformPart is a word that can be part of a platform.
var platformPart = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

// String is "linux/arm/v7", or "" for what is not a platform.
func (p platform) String() string {
	if !platformPart.MatchString(p.OS) || !platformPart.MatchString(p.Architecture) || p.OS == "unknown" {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if platformPart.MatchString(p.Variant) {
		s += "/" + p.Variant
	}
	return s
}

// platformsInIndex returns the platforms of an index by child. A child with two entries has the
// platform of the last one.
func platformsInIndex(ctx context.Context, src bundle.Source, n *bundle.Node) map[v1.Hash]string {
	var index struct {
		Manifests []struct {
			Digest   v1.Hash  `json:"digest"`
			Platform platform `json:"platform"`
		} `json:"manifests"`
	}
	_, raw, err := src.Manifest(ctx, n.From.Digest(n.Descriptor.Digest.String()))
	if err != nil || oci.CheckJSON(raw) != nil || json.Unmarshal(raw, &index) != nil {
		return nil
	}
	platforms := map[v1.Hash]string{}
	for _, m := range index.Manifests {
		platforms[m.Digest] = m.Platform.String()
	}
	return platforms
}

// platformInConfig returns the platform that the config of an image has, if any.
func platformInConfig(ctx context.Context, src bundle.Source, n *bundle.Node) string {
	config := n.Blobs[0]
	if !config.MediaType.IsConfig() || config.Size > maxConfig {
		return ""
	}
	r, err := src.Blob(ctx, n.From, config)
	if err != nil {
		return ""
	}
	defer r.Close()
	raw, err := io.ReadAll(r) // at most maxConfig: the source holds the descriptor's size
	var p platform
	if err != nil || oci.CheckJSON(raw) != nil || json.Unmarshal(raw, &p) != nil {
		return ""
	}
	return p.String()
}
