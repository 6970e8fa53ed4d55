#!/usr/bin/env bash
# kbld v0.44.0: any document with a list at the top-level key "items" is taken for a Kubernetes List, whatever its kind:
# its elements come out as documents, and the object that had them, with its name and all other fields, is gone. kbld ends
# with 0 and says nothing. A custom resource that happens to have such a field is never deployed.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
(go mod init example.com/t && GONOSUMDB='*' GOFLAGS=-mod=mod go get carvel.dev/kbld@v0.44.0 &&
	GONOSUMDB='*' GOFLAGS=-mod=mod go build -o kbld carvel.dev/kbld/cmd/kbld) 2>log || { cat log; exit 1; }
cat >in.yml <<'END'
apiVersion: example.com/v1
kind: Menu
metadata: {name: lunch}
items:
- {dish: soup}
- {dish: bread}
END
./kbld -f in.yml | tee out.yml
diff out.yml - <<'END'
---
dish: soup
---
dish: bread
END
