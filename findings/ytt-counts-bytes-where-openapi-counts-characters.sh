#!/usr/bin/env bash
# ytt v0.51.1: min_len and max_len of @schema/validation count the bytes of a text in UTF-8. The schema that
# --data-values-schema-inspect writes has the same numbers as minLength and maxLength, which count characters in OpenAPI
# and in Kubernetes. So "é" is enough for min_len=2, and "éé" is too long for max_len=2, where the schema says the
# opposite. relocate counts characters when it checks values.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
(go mod init example.com/t && go get carvel.dev/ytt@v0.51.1 && GOFLAGS=-mod=mod go build -o ytt carvel.dev/ytt/cmd/ytt) 2>log || { cat log; exit 1; }
cat >schema.yml <<'END'
#@data/values-schema
---
#@schema/validation min_len=2, max_len=2
name: ab
END
./ytt -f schema.yml --data-values-schema-inspect -o openapi-v3 | grep Length | tee out.yml
diff out.yml - <<'END'
          minLength: 2
          maxLength: 2
END
printf '#@ load("@ytt:data", "data")\nname: #@ data.values.name\n' >show.yml
one=$(./ytt -f schema.yml -f show.yml -v name=é)
two=$(./ytt -f schema.yml -f show.yml -v name=éé 2>&1) || true
echo "one character:  $one"
echo "two characters: $two"
[ "$one" = "name: é" ] && [[ $two == *"must be: length <= 2"*"found: length = 4"* ]]
