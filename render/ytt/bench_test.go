package ytt_test

import (
	"fmt"
	"testing"

	"relocate/render/ytt"
)

// BenchmarkRun measures what a child costs (no files), and what a template with a hundred documents
// does.
func BenchmarkRun(b *testing.B) {
	hundred := ytt.Input{Files: []ytt.File{{Path: "a.yml", Data: []byte(`#@ for i in range(100):
---
kind: Deployment
metadata:
  name: #@ "name{}".format(i)
spec:
  template:
    spec:
      containers:
      - image: #@ "registry.example.com/image:{}".format(i)
#@ end
`)}}}
	for documents, in := range map[int]ytt.Input{0: {}, 100: hundred} {
		b.Run(fmt.Sprint(documents), func(b *testing.B) {
			by := program(b)
			for b.Loop() {
				out, err := ytt.Run(b.Context(), by, in)
				if err != nil || len(out.Starts) != documents {
					b.Fatal(len(out.Starts), err)
				}
			}
		})
	}
}
