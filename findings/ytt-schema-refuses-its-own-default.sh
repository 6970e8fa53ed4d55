#!/usr/bin/env bash
# ytt v0.51.1: for a value with @schema/nullable and one_of, --data-values-schema-inspect -o openapi-v3 writes "default:
# null" and an enum without null. ytt itself takes null, which is what a nullable value is when it is not given. By OpenAPI
# 3.0 null must be in the enum, too, so the schema refuses its own default; Kubernetes' validator (kube-openapi of 1.37)
# says "should be one of". A form made of the schema offers no way back to null. relocate takes null wherever nullable is.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
mkdir ytt && (cd ytt && go mod init example.com/t && go get carvel.dev/ytt@v0.51.1 &&
	GOFLAGS=-mod=mod go build -o ../bin/ytt carvel.dev/ytt/cmd/ytt) 2>log || { cat log; exit 1; }
mkdir check && cat >check/main.go <<'END'
package main

import (
	"fmt"
	"io"
	"os"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

func main() {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	var doc struct {
		Components struct{ Schemas struct{ DataValues spec.Schema } }
	}
	if err := yaml.Unmarshal(in, &doc); err != nil {
		panic(err)
	}
	schema := &doc.Components.Schemas.DataValues
	for _, level := range []any{"info", schema.Properties["level"].Default} {
		fmt.Println(level, validate.AgainstSchema(schema, map[string]any{"level": level}, strfmt.Default))
	}
}
END
(cd check && go mod init example.com/t && go get k8s.io/kube-openapi@v0.0.0-20260721132016-d427ff9ee9ad && go mod tidy &&
	go build -o ../bin/check .) >log 2>&1 || { cat log; exit 1; }
cat >schema.yml <<'END'
#@data/values-schema
---
#@schema/nullable
#@schema/validation one_of=["debug", "info"]
level: info
END
printf '#@ load("@ytt:data", "data")\nlevel: #@ data.values.level\n' >show.yml
bin/ytt -f schema.yml --data-values-schema-inspect -o openapi-v3 >openapi.yml
sed -n '/properties:/,$p' openapi.yml | tee out.yml
rendered=$(bin/ytt -f schema.yml -f show.yml) checked=$(bin/check <openapi.yml)
echo "ytt renders $rendered"
echo "$checked"
diff out.yml - <<'END'
      properties:
        level:
          type: string
          nullable: true
          default: null
          enum:
          - debug
          - info
END
[ "$rendered" = "level: null" ]
[ "$checked" = "$(printf 'info <nil>\n<nil> validation failure list:\nlevel in body should be one of [debug info]')" ]
