#!/usr/bin/env bash
# go-containerregistry v0.22.1, the registry of "crane registry serve": a GET of a blob with
# "Range: bytes=5-" is answered with 416 Range Not Satisfiable, though "bytes=5-9" gives 206.
# RFC 9110 §14.1.2 makes the last position optional, and every client that continues a download
# leaves it out, so a download from this registry that breaks off must begin again; a client that
# takes 416 for "nothing is left" ends with a short blob. relocate asks for the whole blob then.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
src=$(go mod download -json github.com/google/go-containerregistry@v0.22.1 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && go build -mod=mod -o ../crane ./cmd/crane)
port=$((20000 + RANDOM % 20000))
./crane registry serve --address "localhost:$port" >log 2>&1 &
for _ in $(seq 100); do curl -sf "localhost:$port/v2/" >/dev/null && break; sleep 0.1; done
d=sha256:$(printf 0123456789 | sha256sum | cut -d' ' -f1)
curl -sf -X POST -H 'Content-Type: application/octet-stream' --data-binary 0123456789 "localhost:$port/v2/a/blobs/uploads/?digest=$d"
get() { curl -s -o /dev/null -w '%{http_code}' -H "Range: bytes=$1" "localhost:$port/v2/a/blobs/$d"; }
closed=$(get 5-9) open=$(get 5-)
echo "bytes=5-9: $closed"
echo "bytes=5-:  $open"
[ "$closed" = 206 ] && [ "$open" = 416 ]
