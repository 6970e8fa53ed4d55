package relocate

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/tarball"
)

// Shard is one of the parts of an archive's layers and configs that machines upload at the same time.
type Shard struct {
	Index int `json:"index"` // from 0
	Of    int `json:"of"`    // all shards
}

// MostShards is the most shards that an archive can be dealt to.
const MostShards = bundle.MostShards

// String returns the shard as "2/8".
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Of) }

// check rejects a shard that does not exist.
//
// Errors: ErrOptions.
func (s Shard) check() error {
	switch {
	case s.Of < 1 || s.Of > MostShards:
		return optionsf("shard %s: there can be 1 to %d shards", s, MostShards)
	case s.Index < 0 || s.Index >= s.Of:
		return optionsf("shard %s: the shards are 0/%d to %d/%d", s, s.Of, s.Of-1, s.Of)
	}
	return nil
}

// ImportShard uploads the layers and configs of one shard, and nothing that makes them visible: no manifest, no
// tag. An Import with the same selection makes everything visible. It finds what shards have uploaded, and
// uploads what they have not, so that a shard may be lost, done twice, or be another archive's.
//
// It checks the documents of the archive and the content of what it uploads. Import checks the rest. Each blob is
// asked for before its upload, unless to.Trust is copy.TrustNothing. What of to is about manifests and tags is
// ignored.
//
// Errors: as Import.
func ImportShard(
	ctx context.Context, from *tarball.Archive, to Destination, shard Shard, opt Options,
) (*Result, error) {
	if err := shard.check(); err != nil {
		return nil, err
	}
	if err := to.check(); err != nil {
		return nil, err
	}
	unlock, err := lockRepository(fmt.Sprintf("shard %s of %s", shard, to.Repository.Name()))
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, plan, err := opt.partBy(ctx, from, from.HeadPlan)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if to.Trust != copy.TrustNothing {
		to.Trust = copy.TrustBlobs
	}
	has := func(v1.Hash) bool { return true }
	if len(missingVolumes(from)) > 0 {
		has = from.Has
	}
	r := &Result{
		Plan: plan.Shards(shard.Of)[shard.Index], Shard: &shard,
		Size: from.Size(), Seal: from.Seal(), Format: from.Format(), Signature: opt.Signature,
	}
	f := &filling{action: "import", to: to, opt: opt, r: r}
	f.move = func(dst copy.Repository, o copy.Options) (*copy.Result, error) {
		result, waits, err := copy.Arrived(ctx, r.Plan, p.source, has, dst, to.Repository, o)
		if unchanged := from.Unchanged(); unchanged != nil {
			return nil, unchanged
		}
		if err == nil && len(waits) > 0 {
			err = incomplete(missingVolumes(from), result, waits)
		}
		return result, err
	}
	if _, err = f.send(); err != nil && !isPartial(err) {
		return nil, err
	}
	return r, err
}
