// Command openapi says what the validator of Kubernetes' CustomResourceDefinitions, kube-openapi, finds
// wrong with values. The table of package values compares with it (carvel/values/testdata/judged.yml).
//
// It is a module of its own, so that relocate does not depend on Kubernetes. Requests are JSON values on
// standard input, each with a schema and a value; answers are lists of messages on standard output.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run() error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var request struct {
			Schema spec.Schema
			Value  any
		}
		if err := in.Decode(&request); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		messages := []string{}
		for _, err := range validate.NewSchemaValidator(&request.Schema, nil, "", strfmt.Default).Validate(request.Value).Errors {
			messages = append(messages, err.Error())
		}
		if err := out.Encode(messages); err != nil {
			return err
		}
	}
}
