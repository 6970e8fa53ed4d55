#!/usr/bin/env bash
# Debian 12's skopeo 1.9.3+ds1-1+b10: "copy --all", which copies an index with all of its images, writes an index
# anew when a descriptor in it has an artifactType (image-spec 1.1; go-containerregistry 0.22's
# mutate.AppendManifests writes one for an ordinary image). The copy has another digest, and the status
# is 0; a second index without that member keeps its digest. With --preserve-digests the same copy
# fails: "must be converted … cannot modify". An ImagesLock that names the index by digest does not
# find the copy. relocate copies the bytes of an index.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq skopeo=1.9.3+ds1-1+b10 >/dev/null 2>&1 # the program alone, in this folder
dpkg-deb -x skopeo_*.deb root
skopeo=root/usr/bin/skopeo
"$skopeo" --version
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json

mkdir -p source/blobs/sha256
blob() { # stores a blob, prints its digest
	local d; d=$(printf %s "$1" | sha256sum | cut -d' ' -f1)
	printf %s "$1" >"source/blobs/sha256/$d"
	echo "sha256:$d"
}
image_type=application/vnd.oci.image.manifest.v1+json
index_type=application/vnd.oci.image.index.v1+json
config='{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
manifest="{\"schemaVersion\":2,\"mediaType\":\"$image_type\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"$(blob "$config")\",\"size\":${#config}},\"layers\":[]}"
child="\"mediaType\":\"$image_type\",\"digest\":\"$(blob "$manifest")\",\"size\":${#manifest}"
platform='"platform":{"architecture":"amd64","os":"linux"}'
echo '{"imageLayoutVersion":"1.0.0"}' >source/oci-layout

# copied copies an index from one OCI layout to another, and prints what became of its digest.
copied() { # INDEX FLAG…
	local d out
	d=$(blob "$1")
	shift
	echo "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"$index_type\",\"digest\":\"$d\",\"size\":$(stat -c %s "source/blobs/sha256/${d#*:}"),\"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\"}}]}" >source/index.json
	rm -rf copy
	if ! out=$("$skopeo" --policy policy.json copy --all "$@" oci:source:v1 oci:copy:v1 2>&1); then
		echo "fails: ${out##*msg=}"
	elif grep -q "$d" copy/index.json; then
		echo kept
	else
		echo changed
	fi
}
plain="{\"schemaVersion\":2,\"mediaType\":\"$index_type\",\"manifests\":[{$child,$platform}]}"
typed="{\"schemaVersion\":2,\"mediaType\":\"$index_type\",\"manifests\":[{$child,$platform,\"artifactType\":\"application/vnd.oci.image.config.v1+json\"}]}"
a=$(copied "$plain") b=$(copied "$typed") c=$(copied "$typed" --preserve-digests)
echo "digest of a plain index           $a"
echo "with artifactType                 $b"
echo "with it and --preserve-digests    $c"
[ "$a $b" = "kept changed" ] && [[ $c == fails:*"must be converted"* ]]
