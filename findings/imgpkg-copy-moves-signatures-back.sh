#!/usr/bin/env bash
# imgpkg v0.46.1: "imgpkg copy --cosign-signatures" puts the .sig tag of the source over the one at
# the destination. cosign keeps all signatures of an image as the layers of one image under that
# tag, and a second "cosign sign" adds a layer; so when a site has countersigned what it imported,
# a repeated copy silently removes the site's signature: exit 0, and the tag is the vendor's again.
# One would expect a copy that changes nothing to leave what is there alone, or to fail.
# relocate keeps what contains its own layers, and adds its layers to what does not.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
build() { # MODULE VERSION PACKAGE PROGRAM
	local src; src=$(go mod download -json "$1@$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	cp -r "$src" "src-$4" && chmod -R u+w "src-$4"
	(cd "src-$4" && go build -mod=mod -o "../$4" "$3")
}
build carvel.dev/imgpkg v0.46.1 ./cmd/imgpkg imgpkg
build github.com/google/go-containerregistry v0.22.1 ./cmd/crane crane
port=$((20000 + RANDOM % 20000))
./crane registry serve --address "localhost:$port" >log 2>&1 &
for _ in $(seq 100); do curl -sf "localhost:$port/v2/" >/dev/null && break; sleep 0.1; done
reg=localhost:$port

# An image, and a signature image of one layer, as the vendor publishes them.
mkdir layers
for name in app vendor site; do
	printf '%s' "$name" >layers/$name && tar -C layers --mtime=@0 --owner=0 --group=0 -cf $name.tar $name
done
./crane append -f app.tar -t "$reg/vendor/app:1" >/dev/null 2>&1
digest=$(./crane digest "$reg/vendor/app:1")
sig=${digest/:/-}.sig
./crane append -f vendor.tar -t "$reg/vendor/app:$sig" >/dev/null 2>&1

copy() { ./imgpkg copy -i "$reg/vendor/app@$digest" --to-repo "$reg/site/app" --cosign-signatures >/dev/null; }
layers() { ./crane manifest "$reg/site/app:$sig" | tr ',' '\n' | grep -c 'layer\|diff.tar'; }
copy
first=$(layers)
# The site adds a signature: the same image with one more layer, as cosign does.
./crane append -b "$reg/site/app:$sig" -f site.tar -t "$reg/site/app:$sig" >/dev/null 2>&1
signed=$(layers)
copy
again=$(layers)
echo "layers of the .sig image: $first after the copy, $signed after the site signed, $again after the same copy again"
[ "$first" = 1 ] && [ "$signed" = 2 ] && [ "$again" = 1 ]
