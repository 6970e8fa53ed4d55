#!/usr/bin/env bash
# kbld v0.44.0 after ytt v0.51.1: a string with an escaped control character above ASCII's first 32, "\x7F" or
# "\x80", is valid YAML (1.1 §5.1, 1.2 §5.1: not printable characters are written as escapes), and ytt prints it so. kbld
# turns each document into JSON and reads that as YAML again. JSON does not escape these characters, so the second
# reading says "control characters are not allowed", and the whole step fails, without the file or the document. "\0"
# and "\e", which JSON escapes, pass. A terminal sequence or binary data in one ConfigMap keeps the whole package from
# being installed.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
build() { # the checksum database does not have all that kbld needs
	mkdir "$1" && (cd "$1" && go mod init example.com/t && GONOSUMDB='*' GOFLAGS=-mod=mod go get "carvel.dev/$1@$2" &&
		GONOSUMDB='*' GOFLAGS=-mod=mod go build -o "../bin-$1" "carvel.dev/$1/cmd/$1") 2>log || { cat log; exit 1; }
}
build ytt v0.51.1
build kbld v0.44.0
for escape in '\e' '\x7F' '\x80'; do
	printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: "%s"}\n' "$escape" >in.yml
	./bin-ytt -f in.yml >out.yml
	./bin-kbld -f out.yml >result.yml 2>error && status=0 || status=1
	echo "$escape: ytt prints $(grep -o 'key: .*' out.yml), kbld ends with $status $(cat error)"
	echo "$status" >>statuses
done
[ "$(tr -d '\n' <statuses)" = 011 ] && grep -q 'control characters are not allowed' error
