package tarball

import (
	"context"
	"fmt"
	"io"
)

// Ranged is a file that is read in ranges, each of which is a request to a server. An *httpfile.File is one. Its
// errors name it.
type Ranged interface {
	io.ReaderAt
	Size() int64 // in bytes
	Name() string

	// Range opens n bytes from at on, with one request.
	Range(ctx context.Context, at, n int64) (io.ReadCloser, error)

	// Unchanged returns an error when the file is no longer the one that was opened.
	Unchanged() error

	Close() error
}

// OpenRanged opens the archive in r, as Open does. Closing it closes r. What comes before the layers is read in
// few large ranges, each layer in one.
//
// Errors: ErrNotArchive, ErrTruncated, ErrDamaged; those of r.
func OpenRanged(r Ranged) (*Archive, error) {
	a, err := NewArchive(r, r.Size())
	if isOfFile(err) {
		err = fmt.Errorf("%s %w", r.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	a.ranged = r
	return a, nil
}
