#!/usr/bin/env bash
# ytt v0.51.1: a list as the key of a map ("? [a, b]"), which YAML allows, comes out with ytt's own line numbers in it:
# each element becomes a map of "value" and "line". ytt ends with 0, and the output is valid YAML with another key than
# the input's. No JSON has such keys, so kbld after it refuses the document; without a kbld step kapp gets it.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
(go mod init example.com/t && go get carvel.dev/ytt@v0.51.1 && GOFLAGS=-mod=mod go build -o ytt carvel.dev/ytt/cmd/ytt) 2>log || { cat log; exit 1; }
printf '? [a, b]\n: 1\n' >in.yml
./ytt -f in.yml | tee out.yml
diff out.yml - <<'END'
? - value: a
    line: 1
  - value: b
    line: 1
: 1
END
