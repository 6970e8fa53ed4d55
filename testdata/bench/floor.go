package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"relocate/testdata/generated"
)

// The floor is the plainest client that does the same work, 8 blobs at once, without a manifest: what is
// left for a tool to do better. It runs as a process of its own, as the tools do.
//
//	floor export HOST BLOBS.json FILE   GET each blob, hash it, write it to its place in the file; fsync
//	floor import HOST BLOBS.json FILE   upload each blob out of the file: POST and one PUT
//	floor verify FILE                   hash the file in as many parts as there are cores
func floor(args []string) error {
	if args[0] == "verify" {
		return floorVerify(args[1])
	}
	host, list, path := args[1], args[2], args[3]
	raw, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var blobs []generated.Blob
	if err := json.Unmarshal(raw, &blobs); err != nil {
		return err
	}
	if args[0] == "export" {
		return floorExport(host, blobs, path)
	}
	return floorImport(host, blobs, path)
}

const (
	floorJobs   = 8
	floorBuffer = 1 << 20
)

var floorClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floorJobs, DisableCompression: true}}

// eachBlob calls do for each blob with its place in the file.
func eachBlob(blobs []generated.Blob, do func(ctx context.Context, b generated.Blob, offset int64) error) error {
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(floorJobs)
	var offset int64
	for _, b := range blobs {
		at := offset
		g.Go(func() error { return do(ctx, b, at) })
		offset += b.Size
	}
	return g.Wait()
}

func floorExport(host string, blobs []generated.Blob, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = eachBlob(blobs, func(ctx context.Context, b generated.Blob, offset int64) error {
		from := fmt.Sprintf("http://%s/v2/%s/blobs/%s", host, b.Repository, b.Digest)
		res, err := send(ctx, http.MethodGet, from, nil, 0, http.StatusOK)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		hash := sha256.New()
		to := io.MultiWriter(hash, io.NewOffsetWriter(f, offset))
		if _, err := io.CopyBuffer(to, io.LimitReader(res.Body, b.Size), make([]byte, min(b.Size, floorBuffer))); err != nil {
			return err
		}
		if got := fmt.Sprintf("sha256:%x", hash.Sum(nil)); got != b.Digest {
			return fmt.Errorf("GET %s: got %s", b.Digest, got)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.Sync()
}

func floorImport(host string, blobs []generated.Blob, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return eachBlob(blobs, func(ctx context.Context, b generated.Blob, offset int64) error {
		res, err := send(ctx, http.MethodPost, "http://"+host+"/v2/bench/floor/blobs/uploads/", nil, 0, http.StatusAccepted)
		if err != nil {
			return err
		}
		res.Body.Close()
		to, err := res.Location()
		if err != nil {
			return err
		}
		query := to.Query()
		query.Set("digest", b.Digest)
		to.RawQuery = query.Encode()
		res, err = send(ctx, http.MethodPut, to.String(), io.NewSectionReader(f, offset, b.Size), b.Size, http.StatusCreated)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
}

func send(ctx context.Context, method, url string, body io.Reader, size int64, want int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	res, err := floorClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		res.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, bytes.TrimSpace(text))
	}
	return res, nil
}

func floorVerify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	parts := int64(runtime.GOMAXPROCS(0))
	part := info.Size()/parts + 1
	var g errgroup.Group
	for i := range parts {
		g.Go(func() error {
			from := struct{ io.Reader }{io.NewSectionReader(f, i*part, part)}
			_, err := io.CopyBuffer(struct{ io.Writer }{sha256.New()}, from, make([]byte, floorBuffer))
			return err
		})
	}
	return g.Wait()
}
