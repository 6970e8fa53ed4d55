#!/usr/bin/env bash
# olareg v0.2.2: a tag that names an index has two digests. A client that accepts image manifests
# only gets 200 and the index's first child of an accepted type, whatever its platform is; here an
# arm64 image, though amd64 follows. One would expect the index itself (zot, distribution v3) or a
# 404 (distribution 2.8). A pin of a tag that is taken with a short Accept header is then a pin of
# one platform's image, and nothing in the answer says so. relocate accepts every manifest type
# whenever it resolves a tag.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
src=$(go mod download -json github.com/olareg/olareg@v0.2.2 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && go build -o ../olareg ./cmd/olareg)
port=$((20000 + RANDOM % 20000))
./olareg serve --store-type mem --port "$port" >log 2>&1 &
for _ in $(seq 100); do curl -sf "localhost:$port/v2/" >/dev/null && break; sleep 0.1; done
at=localhost:$port/v2/a

blob() { # stores a blob, prints its digest
	local d; d=sha256:$(printf %s "$1" | sha256sum | cut -d' ' -f1)
	curl -sf -o /dev/null -X POST --data-binary "$1" -H 'Content-Type: application/octet-stream' "$at/blobs/uploads/?digest=$d"
	echo "$d"
}
manifest() { # stores a manifest of a type under a tag, prints its digest
	local d; d=sha256:$(printf %s "$2" | sha256sum | cut -d' ' -f1)
	curl -sf -o /dev/null -X PUT --data-binary "$2" -H "Content-Type: $1" "$at/manifests/$3"
	echo "$d"
}
image_type=application/vnd.oci.image.manifest.v1+json
index_type=application/vnd.oci.image.index.v1+json
# image makes an image of an architecture: its descriptor goes to stdout.
image() {
	local config c doc d
	config="{\"architecture\":\"$1\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"
	c=$(blob "$config")
	doc="{\"schemaVersion\":2,\"mediaType\":\"$image_type\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":${#config},\"digest\":\"$c\"},\"layers\":[]}"
	d=$(manifest $image_type "$doc" "$1")
	echo "{\"mediaType\":\"$image_type\",\"size\":${#doc},\"digest\":\"$d\",\"platform\":{\"os\":\"linux\",\"architecture\":\"$1\"}}"
}
arm=$(image arm64)
amd=$(image amd64)
index="{\"schemaVersion\":2,\"mediaType\":\"$index_type\",\"manifests\":[$arm,$amd]}"
whole=$(manifest $index_type "$index" v1)

digest_of() { curl -sfI -H "Accept: $1" "$at/manifests/v1" | tr -d '\r' | sed -n 's/^docker-content-digest: //Ip'; }
any=$(digest_of "$index_type, $image_type")
images=$(digest_of "$image_type")
echo "index                         $whole"
echo "v1, indexes and images        $any"
echo "v1, images only               $images"
echo "first child                   $arm"
[ "$any" = "$whole" ] && [ "$images" != "$whole" ] && [[ $arm == *"$images"* ]]
