package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"relocate/testdata/measured"
)

// serving measures "relocate serve" with an archive of s: clients at once, which take total bytes in all, against the
// time that reading as much of the same cached file takes.
func serving(relocate, dir string, s shape, clients int, total int64) error {
	tmp, err := os.MkdirTemp(dir, "relocate-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	source := newGenerator()
	host, stop, err := serve(source)
	if err != nil {
		return err
	}
	ref, err := s.push(host, source)
	file := filepath.Join(tmp, "load.tar")
	if err == nil {
		_, err = measure(relocate, []string{"-b", ref, "--to-tar", file})
	}
	stop()
	if err != nil {
		return err
	}
	read, copied, err := readFile(file, total)
	if err != nil {
		return err
	}
	cmd := exec.Command(relocate, "serve", file, "--listen", "127.0.0.1:0", "-o", "json", "--log", "errors")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended, peak := make(chan struct{}), make(chan int)
	go func() { peak <- measured.Watch(cmd.Process.Pid, ended) }()
	var served struct {
		URL string `json:"url"`
	}
	err = json.NewDecoder(bufio.NewReader(out)).Decode(&served)
	ready := time.Since(start)
	var wall time.Duration
	if err == nil {
		wall, err = pull(served.URL, clients, total)
	}
	err = errors.Join(err, cmd.Process.Signal(syscall.SIGINT))
	_, _ = io.Copy(io.Discard, out)
	close(ended)
	most := <-peak >> 10
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	rate := func(d time.Duration) float64 { return float64(total) / d.Seconds() / 1e9 }
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Printf("\n%s: ready after %.2f s, peak %d MiB\n%d clients, %d MiB in all: %.2f s, %.2f GB/s (%.2f s of CPU in serve)\n",
		s, ready.Seconds(), most, clients, total>>20, wall.Seconds(), rate(wall), used.Seconds())
	fmt.Printf("of cat, %.2f GB/s: %.0f %%; of cp, %.2f GB/s: %.0f %%\n", rate(read), 100*rate(wall)/rate(read), rate(copied), 100*rate(wall)/rate(copied))
	return nil
}

// readFile returns how long cat takes for total bytes of a file that is cached, and cp to a file beside it.
func readFile(file string, total int64) (read, copied time.Duration, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, 0, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, 0, err
	}
	defer null.Close()
	of := func(name string, args ...string) time.Duration {
		var took time.Duration
		for done := int64(0); done < total && err == nil; done += info.Size() {
			cmd := exec.Command(name, args...)
			cmd.Stdout = null
			start := time.Now()
			err = cmd.Run()
			took += time.Since(start)
		}
		return time.Duration(float64(took) * float64(total) / float64((total+info.Size()-1)/info.Size()*info.Size()))
	}
	of("cat", file) // which fills the cache
	read, copied = of("cat", file), of("cp", file, file+".copy")
	return read, copied, errors.Join(err, os.Remove(file+".copy"))
}

// pull lets clients take the layers of every image of the registry at url, each in turn, until they have total bytes.
func pull(url string, clients int, total int64) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, ReadBufferSize: 256 << 10}}
	repos, err := names(client, url, "/v2/_catalog")
	if err != nil {
		return 0, err
	}
	type layer struct {
		url  string
		size int64
	}
	var layers []layer
	for _, repo := range repos {
		tags, err := names(client, url, "/v2/"+repo+"/tags/list")
		if err != nil {
			return 0, err
		}
		for _, tag := range tags {
			var m v1.Manifest
			if _, err := get(client, url+"/v2/"+repo+"/manifests/"+tag, &m); err != nil {
				return 0, err
			}
			for _, d := range m.Layers {
				layers = append(layers, layer{url + "/v2/" + repo + "/blobs/" + d.Digest.String(), d.Size})
			}
		}
	}
	start := time.Now()
	var at, taken atomic.Int64
	g, ctx := errgroup.WithContext(context.Background())
	for range clients {
		g.Go(func() error {
			for taken.Load() < total && ctx.Err() == nil {
				l := layers[int(at.Add(1)-1)%len(layers)]
				taken.Add(l.size)
				if err := take(client, l.url, l.size); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return time.Duration(float64(time.Since(start)) * float64(total) / float64(taken.Load())), err
}

func take(client *http.Client, url string, size int64) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, make([]byte, 256<<10))
	if err == nil && (n != size || res.StatusCode != http.StatusOK) {
		err = fmt.Errorf("GET %s: %s, %d bytes of %d", url, res.Status, n, size)
	}
	return err
}

// names reads a list of repositories or tags, page by page.
func names(client *http.Client, url, path string) ([]string, error) {
	var all []string
	for path != "" {
		var page struct{ Repositories, Tags []string }
		link, err := get(client, url+path, &page)
		if err != nil {
			return nil, err
		}
		all = append(append(all, page.Repositories...), page.Tags...)
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	return all, nil
}

// get reads a document and returns its Link.
func get(client *http.Client, url string, v any) (link string, err error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return res.Header.Get("Link"), json.NewDecoder(res.Body).Decode(v)
}
