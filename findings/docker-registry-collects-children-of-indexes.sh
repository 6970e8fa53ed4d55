#!/usr/bin/env bash
# Debian 12's docker-registry 2.8.2+ds1-1: "garbage-collect --delete-untagged" deletes the children of
# an index that has a tag. They have no tags of their own, and the collector marks what tags name, not
# what their indexes name. The index stays, and is 200; its images are 404, and no pod can pull them.
# The flag's help says "delete manifests that are not currently referenced via tag". Distribution
# 3.1.2 keeps them. relocate's prune deletes by digest itself, and its page warns of the flag.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>/dev/null
dpkg -x docker-registry_*.deb root
src=$(go mod download -json github.com/distribution/distribution/v3@v3.1.2 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && go build -mod=mod -o ../registry3 ./cmd/registry)

# after PROGRAM prints the status of an index and of its child after a collection.
after() {
	local port=$((20000 + RANDOM % 20000)) data=$work/data-$1
	printf 'version: 0.1\nhttp: {addr: "localhost:%s"}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n' "$port" "$data" >"$1.yml"
	"$2" serve "$1.yml" >"$1.log" 2>&1 &
	local pid=$! at=localhost:$port/v2/a
	for _ in $(seq 100); do curl -sf "localhost:$port/v2/" >/dev/null && break; sleep 0.1; done
	local c where image=application/vnd.oci.image.manifest.v1+json index=application/vnd.oci.image.index.v1+json
	c=sha256:$(printf '{}' | sha256sum | cut -d' ' -f1)
	where=$(curl -si -X POST -d '' "$at/blobs/uploads/" | tr -d '\r' | sed -n 's/^location: //Ip')
	curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary '{}' "$where&digest=$c"
	printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"%s"},"layers":[]}' "$image" "$c" >child
	local d size
	d=sha256:$(sha256sum child | cut -d' ' -f1) size=$(wc -c <child)
	curl -sf -X PUT -H "Content-Type: $image" --data-binary @child "$at/manifests/$d"
	printf '{"schemaVersion":2,"mediaType":"%s","manifests":[{"mediaType":"%s","size":%s,"digest":"%s","platform":{"os":"linux","architecture":"amd64"}}]}' "$index" "$image" "$size" "$d" >index
	curl -sf -X PUT -H "Content-Type: $index" --data-binary @index "$at/manifests/1.0.0"
	kill $pid && wait $pid 2>/dev/null || true
	"$2" garbage-collect --delete-untagged "$1.yml" >"$1.gc" 2>&1
	"$2" serve "$1.yml" >>"$1.log" 2>&1 &
	for _ in $(seq 100); do curl -sf "localhost:$port/v2/" >/dev/null && break; sleep 0.1; done
	status() { curl -s -o /dev/null -w '%{http_code}' -H "Accept: $image" -H "Accept: $index" "$at/manifests/$1"; }
	echo "$(status 1.0.0) $(status "$d")"
}
old=$(after old root/usr/bin/docker-registry)
new=$(after new ./registry3)
echo "docker-registry $(dpkg-deb -f docker-registry_*.deb Version): index and child after the collection: $old"
echo "distribution 3.1.2:                 index and child after the collection: $new"
[ "$old" = "200 404" ] && [ "$new" = "200 200" ]
