//go:build ignore

// Command vulndb says why the vulnerability database whose URL is its argument cannot be reached, and
// nothing if it can.
package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := reach(os.Args[1]); err != nil {
		fmt.Println(err)
	}
}

// reach reads the database's index (https://go.dev/doc/security/vuln/database#api).
func reach(db string) error {
	u, err := url.Parse(db)
	if err != nil {
		return err
	}
	u = u.JoinPath("index", "db.json")
	if u.Scheme == "file" {
		_, err := os.Stat(filepath.FromSlash(u.Path))
		return err
	}
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(u.String())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", u, res.Status)
	}
	return nil
}
