#!/usr/bin/env bash
# Debian 12's rclone 1.60.1+dfsg-2+b5: "rcat --size N" to S3, in parts, stores whatever comes and ends with 0, be it less
# than N or more. Its help says of another length: "then the transfer will likely fail". So the size does not keep half of
# a stream from being published when the left side of the pipe fails. Parts are for a size above --s3-upload-cutoff (200
# MiB; 5 MiB here). rclone v1.76.0 ends with 5 and stores nothing. relocate's page on object stores uploads under another
# name, and renames when the whole pipe has succeeded. The server is versitygw v1.8.0.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
unset AWS_CA_BUNDLE # rclone 1.60.1 does not start with it
apt-get download -qq rclone=1.60.1+dfsg-2+b5 >/dev/null 2>&1 # the program alone, in this folder
dpkg-deb -x rclone_*.deb root
src=$(go mod download -json github.com/versity/versitygw@v1.8.0 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$src" src && chmod -R u+w src
(cd src && CGO_ENABLED=0 go build -mod=mod -buildvcs=false -trimpath -o ../versitygw ./cmd/versitygw)
mkdir new
cat >new/main.go <<'END'
package main

import (
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/rcat"
)

func main() { cmd.Main() }
END
(cd new && go mod init example.com/t && go get github.com/rclone/rclone@v1.76.0 &&
	CGO_ENABLED=0 go build -mod=mod -trimpath -o ../rclone-new .) >log 2>&1 || { cat log; exit 1; }

mkdir data
port=$((20000 + RANDOM % 20000))
ROOT_ACCESS_KEY=test ROOT_SECRET_KEY=testtest ./versitygw --port "127.0.0.1:$port" posix data >server.log 2>&1 &
for _ in $(seq 100); do curl -so /dev/null "127.0.0.1:$port" && break; sleep 0.1; done
cat >rclone.conf <<END
[s3]
type = s3
provider = Other
endpoint = http://127.0.0.1:$port
access_key_id = test
secret_access_key = testtest
END
old=root/usr/bin/rclone new=./rclone-new
common=(--config rclone.conf --s3-force-path-style --s3-chunk-size 5Mi --s3-upload-cutoff 5Mi)
"$old" "${common[@]}" mkdir s3:bucket
head -c 12000000 /dev/zero >stream
stored() { # PROGRAM SIZE: the status of an upload of the stream, and the size of the object
	rm -f data/bucket/object
	local status=0
	"$1" "${common[@]}" --retries 1 rcat --size "$2" s3:bucket/object <stream 2>/dev/null || status=$?
	echo "$status $(stat -c %s data/bucket/object 2>/dev/null || echo none)"
}
less=$(stored $old 20000000) more=$(stored $old 10000000) right=$(stored $old 12000000)
new_less=$(stored $new 20000000) new_more=$(stored $new 10000000) new_right=$(stored $new 12000000)
echo "status and object of 12000000 bytes with --size 20000000, 10000000, 12000000:"
echo "1.60.1: $less, $more, $right"
echo "1.76.0: $new_less, $new_more, $new_right"
[ "$less, $more, $right" = "0 12000000, 0 12000000, 0 12000000" ]
[ "$new_less, $new_more, $new_right" = "5 none, 5 none, 0 12000000" ]
