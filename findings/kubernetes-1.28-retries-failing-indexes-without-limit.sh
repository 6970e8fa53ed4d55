#!/usr/bin/env bash
# Kubernetes 1.28.15: a Job with "backoffLimitPerIndex: 1" is stored with "backoffLimit: 2147483647" and without
# backoffLimitPerIndex. The defaults set the one because the other is there; then the strategy drops the other, and the
# rules FailIndex, as the gate JobBackoffLimitPerIndex is off in 1.28. Strict decoding takes the field, and there is no
# error and no warning. So an index that always fails is tried again practically without end; without the field, the
# limit is 6. With the gate, which is on by default since 1.29, all is kept. The program below calls what an API server
# calls for a new Job; its first build takes minutes. relocate writes a backoffLimit into its Job, too.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
version=1.28.15
src=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
{ # the staging modules are published as v0.28.15
	sed 's|^module .*|module example.com/t|; s|=> ./staging/src/\(.*\)|=> \1 v'"${version/#1./0.}"'|' "$src/go.mod"
	echo "require k8s.io/kubernetes v$version"
} >go.mod
cp "$src/go.sum" . && chmod u+w go.sum
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"os"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/registry/batch/job"
)

// main does with the Job on stdin what an API server with the given gates does with a new one.
func main() {
	must(utilfeature.DefaultMutableFeatureGate.Set(os.Args[1]))
	in, err := io.ReadAll(os.Stdin)
	must(err)
	strict := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	obj, err := runtime.Decode(strict.UniversalDecoder(batch.SchemeGroupVersion), in) // with the defaults
	must(err)
	rest.FillObjectMetaSystemFields(obj.(*batch.Job))
	ctx := request.WithNamespace(request.NewContext(), "default")
	must(rest.BeforeCreate(job.Strategy, ctx, obj)) // PrepareForCreate and Validate
	stored, err := legacyscheme.Scheme.ConvertToVersion(obj, batchv1.SchemeGroupVersion)
	must(err)
	s, perIndex := stored.(*batchv1.Job).Spec, "none"
	if s.BackoffLimitPerIndex != nil {
		perIndex = fmt.Sprint(*s.BackoffLimitPerIndex)
	}
	fmt.Printf("backoffLimit %d, backoffLimitPerIndex %s, rules %d, warnings %d\n",
		*s.BackoffLimit, perIndex, len(s.PodFailurePolicy.Rules), len(job.Strategy.WarningsOnCreate(ctx, obj)))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
END
CGO_ENABLED=0 go build -mod=mod -trimpath -o server . 2>log || { cat log; exit 1; }
cat >job.yml <<'END'
apiVersion: batch/v1
kind: Job
metadata: {name: import}
spec:
  completions: 8
  completionMode: Indexed
  backoffLimitPerIndex: 1
  podFailurePolicy:
    rules: [{action: FailIndex, onExitCodes: {operator: In, values: [2]}}]
  template:
    spec:
      restartPolicy: Never
      containers: [{name: import, image: registry.example.com/import:1}]
END
sed '/backoffLimitPerIndex/d; s/FailIndex/FailJob/' job.yml >plain.yml
default=$(./server '' <job.yml) gate=$(./server JobBackoffLimitPerIndex=true <job.yml) plain=$(./server '' <plain.yml)
echo "$version:                       $default"
echo "with the gate:                 $gate"
echo "without backoffLimitPerIndex:  $plain"
[ "$default" = "backoffLimit 2147483647, backoffLimitPerIndex none, rules 0, warnings 0" ]
[ "$gate" = "backoffLimit 2147483647, backoffLimitPerIndex 1, rules 1, warnings 0" ]
[ "$plain" = "backoffLimit 6, backoffLimitPerIndex none, rules 1, warnings 0" ]
