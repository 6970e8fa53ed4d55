#!/usr/bin/env bash
# go-containerregistry v0.22.1 (crane): a token answer with "expires_in":300.0, which JSON does not
# tell from 300 (RFC 8259 §6), is refused, and with it a token that is good. The field is an int
# there, and encoding/json takes no fraction for one, not even .0. Token servers that compute
# lifetimes as floating-point numbers send such values. One would expect the lifetime, which crane
# does not need for a single request, to be read, rounded or ignored.
# relocate takes numbers with fractions, and strings.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
src=$(go mod download -json github.com/google/go-containerregistry@v0.22.1 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && go build -mod=mod -o ../crane ./cmd/crane)
cat >server.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"os"
)

// A registry whose tokens live for as long as its second argument says.
func main() {
	http.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"token":"good","expires_in":%s}`, os.Args[2])
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"name":"a","tags":["1"]}`)
	})
	fmt.Println(http.ListenAndServe("localhost:"+os.Args[1], nil))
}
GO
go build -o server server.go
first=$((20000 + RANDOM % 20000))
list() { # PORT LIFETIME
	./server "$1" "$2" >log 2>&1 &
	for _ in $(seq 100); do curl -s "localhost:$1/token" >/dev/null && break; sleep 0.1; done
	DOCKER_CONFIG=$work ./crane ls "localhost:$1/a" 2>&1 || true
}
whole=$(list $first 300) decimal=$(list $((first + 1)) 300.0)
echo "\"expires_in\":300    $whole"
echo "\"expires_in\":300.0  $decimal"
[ "$whole" = 1 ] && grep -q 'cannot unmarshal number 300.0' <<<"$decimal"
