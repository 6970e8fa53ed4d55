#!/usr/bin/env bash
# versitygw v1.8.0, an S3 server on a file system: a PUT whose connection breaks takes the object's place with the bytes
# that came. The client sends "Content-Length: 6000000" and 3000000 bytes, and is gone; the server logs 200, and the
# object of 6000000 bytes that was there is one of 3000000. Only an upload with the hash of its payload is refused, and
# what reads a pipe has none. S3 has the error IncompleteBody for it, and keeps the old object. So relocate's page on object
# stores uploads under another name, and renames when all is there.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
src=$(go mod download -json github.com/versity/versitygw@v1.8.0 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && CGO_ENABLED=0 go build -mod=mod -buildvcs=false -trimpath -o ../versitygw ./cmd/versitygw)
mkdir data
port=$((20000 + RANDOM % 20000))
ROOT_ACCESS_KEY=test ROOT_SECRET_KEY=testtest ./versitygw --port "127.0.0.1:$port" posix data >log 2>&1 &
for _ in $(seq 100); do curl -so /dev/null "127.0.0.1:$port" && break; sleep 0.1; done
s3() { # CONTENT-SHA256 PATH FLAG…
	local sum=$1 at=$2
	shift 2
	curl -s --aws-sigv4 aws:amz:us-east-1:s3 -u test:testtest -H "x-amz-content-sha256: $sum" "$@" "http://127.0.0.1:$port/$at"
}
size() { s3 UNSIGNED-PAYLOAD bucket/object -o got && stat -c %s got; }
head -c 6000000 /dev/zero >whole
head -c 3000000 /dev/zero >half
sum=$(sha256sum whole | cut -d' ' -f1)

# broken sends half of an upload, waits, and hangs up.
broken() { s3 "$1" bucket/object -m 2 -X PUT -H 'Content-Length: 6000000' --data-binary @half >/dev/null || true; sleep 1; }
s3 UNSIGNED-PAYLOAD bucket -X PUT
s3 UNSIGNED-PAYLOAD bucket/object -T whole
before=$(size)
broken "$sum"
signed=$(size)
broken UNSIGNED-PAYLOAD
after=$(size)
echo "an object of $before bytes; after a broken upload with a signed payload: $signed, without: $after"
grep 'PUT | /bucket/object' log
[ "$before $signed $after" = "6000000 6000000 3000000" ]
