#!/usr/bin/env bash
# Debian 12's docker-registry 2.8.2+ds1-1: GET tags/list ignores "n" and "last". Its API description
# has both ("Docker Registry HTTP API V2", pagination of tags), and its own catalog honours them. The
# answer is always the whole list, without a Link, and in no order. A client that pages by "last"
# until a page is empty never ends; one that cuts at "n" and sorts sees the same tags again.
# relocate follows Link headers only.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>/dev/null
dpkg -x docker-registry_*.deb root
version=$(dpkg-deb -f docker-registry_*.deb Version)
port=$((20000 + RANDOM % 20000))
printf 'version: 0.1\nhttp: {addr: "localhost:%s"}\nstorage: {filesystem: {rootdirectory: %s/data}}\n' "$port" "$work" >config.yml
root/usr/bin/docker-registry serve config.yml >log 2>&1 &
for _ in $(seq 100); do curl -sf "localhost:$port/v2/" >/dev/null && break; sleep 0.1; done
at=localhost:$port/v2/a
c=sha256:$(printf '{}' | sha256sum | cut -d' ' -f1)
where=$(curl -si -X POST -d '' "$at/blobs/uploads/" | tr -d '\r' | sed -n 's/^location: //Ip')
curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary '{}' "$where&digest=$c"
type=application/vnd.oci.image.manifest.v1+json
for tag in 1.9.0 1.10.0 A b c; do
	curl -sf -X PUT -H "Content-Type: $type" "$at/manifests/$tag" --data-binary "{\"schemaVersion\":2,\"mediaType\":\"$type\",
	  \"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":2,\"digest\":\"$c\"},\"layers\":[]}"
done
all=$(curl -sf "$at/tags/list")
two=$(curl -sf -D headers "$at/tags/list?n=2&last=A")
echo "docker-registry $version"
echo "tags/list             $all"
echo "tags/list?n=2&last=A  $two"
sorted() { tr -d ' \n' <<<"$1" | grep -o '\[.*\]' | tr -d '[]"' | tr ',' '\n' | LC_ALL=C sort; }
[ "$(sorted "$all" | wc -l)" = 5 ] && [ "$(sorted "$all")" = "$(sorted "$two")" ] && ! grep -qi '^link:' headers
