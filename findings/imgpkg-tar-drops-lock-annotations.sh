#!/usr/bin/env bash
# imgpkg v0.46.1: the ImagesLock that "imgpkg copy --tar --lock-output" writes has lost the
# annotations of the ImagesLock that was exported with "--lock --to-tar". The same copy from
# registry to registry keeps them. The annotation kbld.carvel.dev/id is what kbld finds an image by,
# so a deployment that resolves images by the relocated lock works on the connected side and fails
# behind the gap; imgpkg ends with 0 both times.
# relocate carries the annotations in its archive.
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

printf app >app && tar --mtime=@0 --owner=0 --group=0 -cf app.tar app
./crane append -f app.tar -t "$reg/vendor/app:1" >/dev/null 2>&1
cat >images.yml <<YAML
apiVersion: imgpkg.carvel.dev/v1alpha1
kind: ImagesLock
images:
- image: $reg/vendor/app@$(./crane digest "$reg/vendor/app:1")
  annotations:
    kbld.carvel.dev/id: example.com/app:1
YAML
./imgpkg copy --lock images.yml --to-repo "$reg/site/direct" --lock-output direct.yml >/dev/null
./imgpkg copy --lock images.yml --to-tar images.tar >/dev/null
./imgpkg copy --tar images.tar --to-repo "$reg/site/tar" --lock-output tar.yml >/dev/null
kept=$(grep -c kbld.carvel.dev/id direct.yml || true)
left=$(grep -c kbld.carvel.dev/id tar.yml || true)
echo "annotations in the lock: 1 before, $kept after a copy from registry to registry, $left after a tar"
[ "$kept" = 1 ] && [ "$left" = 0 ] && grep -q "image: $reg/site/tar@" tar.yml
