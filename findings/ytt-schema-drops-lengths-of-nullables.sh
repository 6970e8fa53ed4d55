#!/usr/bin/env bash
# ytt v0.51.1, --data-values-schema-inspect -o openapi-v3: beside @schema/nullable, min_len and max_len of
# @schema/validation are left out of the schema, and min, max and one_of are not. ytt itself checks all of them for
# values that are not null. A Package's valuesSchema is this output, so whoever checks values by it takes a password that
# is too short, and the deployment fails. relocate's page on values says so.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
(go mod init example.com/t && go get carvel.dev/ytt@v0.51.1 && GOFLAGS=-mod=mod go build -o ytt carvel.dev/ytt/cmd/ytt) 2>log || { cat log; exit 1; }
cat >schema.yml <<'END'
#@data/values-schema
---
#@schema/validation min_len=8, max_len=64
plain: longenough
#@schema/nullable
#@schema/validation min_len=8, max_len=64
password: ""
#@schema/nullable
#@schema/validation min=1, max=9
replicas: 0
END
./ytt -f schema.yml --data-values-schema-inspect -o openapi-v3 | sed -n '/properties:/,$p' | tee out.yml
diff out.yml - <<'END'
      properties:
        plain:
          type: string
          default: longenough
          minLength: 8
          maxLength: 64
        password:
          type: string
          nullable: true
          default: null
        replicas:
          type: integer
          nullable: true
          default: null
          minimum: 1
          maximum: 9
END
./ytt -f schema.yml -v password=short 2>&1 | tee out.txt || true
grep -q 'must be: length >= 8' out.txt && grep -q 'found: length = 5' out.txt
