package relocate

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/copy"
	"relocate/internal/text"
	"relocate/tarball"
)

// IncompleteError says that an import waits for volumes of its archive. What they do not hold was
// uploaded, and nothing at the destination refers to it yet.
type IncompleteError struct {
	Missing []string     // names of volumes
	Copied  *copy.Result // what is at the destination
	Blobs   int          // that wait; 0: what the archive has is not known yet
	Bytes   int64        // of them
}

func (e *IncompleteError) Error() string {
	there := e.Copied.Blobs + e.Copied.BlobsPresent
	if e.Blobs == 0 {
		return fmt.Sprintf("waits for %s: it says what the archive has, and nothing was uploaded without it", strings.Join(e.Missing, ", "))
	}
	return fmt.Sprintf("waits for %s: %s uploaded (%s), %s already present; %s left (%s); no manifest or tag was uploaded yet",
		strings.Join(e.Missing, ", "), text.Count(e.Copied.Blobs, "layer and config"), text.Size(e.Copied.Bytes), text.Count(there-e.Copied.Blobs, "layer and config"), text.Count(e.Blobs, "layer and config"), text.Size(e.Bytes))
}

// missingVolumes names the volumes of an archive that are missing, apart from those for parity.
func missingVolumes(a *tarball.Archive) (names []string) {
	set := a.Volumes()
	if a.Complete() == nil {
		return nil
	}
	for _, i := range set.Missing() {
		if i < set.Volumes() {
			names = append(names, set.VolumeName(i))
		}
	}
	return names
}

// arrived uploads what has arrived of an archive in volumes. When the destination has everything else, it
// returns nil, and the import can be completed.
//
// Errors: *IncompleteError; as copy.ToRepository.
func arrived(ctx context.Context, a *tarball.Archive, plan *bundle.Plan, src bundle.Source, dst copy.Repository, at name.Repository, o copy.Options) error {
	missing := missingVolumes(a)
	if len(missing) == 0 {
		return nil
	}
	result, waits, err := copy.Arrived(ctx, plan, src, a.Has, dst, at, o)
	if err != nil || len(waits) == 0 {
		return err
	}
	return incomplete(missing, result, waits)
}

// incomplete returns the error of an import that waits for blobs in missing volumes.
func incomplete(missing []string, copied *copy.Result, waits []v1.Descriptor) *IncompleteError {
	e := &IncompleteError{Missing: missing, Copied: copied, Blobs: len(waits)}
	for _, d := range waits {
		e.Bytes += d.Size
	}
	return e
}
