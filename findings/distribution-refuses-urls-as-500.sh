#!/usr/bin/env bash
# distribution v3.1.2 with its default configuration: a manifest with a layer that has "urls", as
# every Windows image has one (image-spec, descriptor, "urls"), is refused with 500 and code UNKNOWN,
# and the same answer calls that layer MANIFEST_BLOB_UNKNOWN although the registry holds it.
# One would expect a 4xx that names the policy. A client that retries what a 500 stands for retries
# for nothing, and one that uploads what MANIFEST_BLOB_UNKNOWN names uploads it again for nothing;
# only the detail of another error of the list, "invalid URL on layer", says what is wrong.
# validation.manifests.urls.allow lets such manifests in.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
src=$(go mod download -json github.com/distribution/distribution/v3@v3.1.2 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && go build -mod=mod -o ../registry ./cmd/registry)

serve() { # PORT EXTRA-CONFIGURATION
	printf 'version: 0.1\nhttp: {addr: "localhost:%s"}\nstorage: {filesystem: {rootdirectory: %s/data-%s}}\n%s\n' "$1" "$work" "$1" "$2" >"$1.yml"
	./registry serve "$1.yml" >"$1.log" 2>&1 &
	for _ in $(seq 100); do curl -sf "localhost:$1/v2/" >/dev/null && return; sleep 0.1; done
}
put() { # PORT: stores both blobs and the manifest, prints the status of the last
	local at=localhost:$1/v2/windows/app config='{"os":"windows"}' layer=layer c l where
	c=sha256:$(printf %s "$config" | sha256sum | cut -d' ' -f1)
	l=sha256:$(printf %s "$layer" | sha256sum | cut -d' ' -f1)
	for pair in "$c $config" "$l $layer"; do
		where=$(curl -si -X POST -d '' "$at/blobs/uploads/" | tr -d '\r' | sed -n 's/^location: //Ip')
		curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "${pair#* }" "$where&digest=${pair%% *}"
	done
	curl -sfI "$at/blobs/$l" >/dev/null # it has the layer
	curl -s -o "body-$1" -w '%{http_code}' -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.v2+json' "$at/manifests/v1" --data-binary "{\"schemaVersion\":2,
	  \"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",
	  \"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":${#config},\"digest\":\"$c\"},
	  \"layers\":[{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"size\":${#layer},\"digest\":\"$l\",\"urls\":[\"https://mcr.example.com/$l\"]}]}"
}
held=sha256:$(printf layer | sha256sum | cut -d" " -f1)
a=$((20000 + RANDOM % 10000)) b=$((30001 + RANDOM % 10000))
serve $a ''
serve $b 'validation: {manifests: {urls: {allow: ["^https?://"]}}}'
default=$(put $a) allowed=$(put $b)
echo "default configuration: $default $(cat body-$a)"
echo "urls.allow ^https?://: $allowed"
[ "$default" = 500 ] && grep -q "MANIFEST_BLOB_UNKNOWN[^}]*$held" "body-$a" && grep -q 'invalid URL on layer' "body-$a" && [ "$allowed" = 201 ]
