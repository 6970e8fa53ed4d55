package oci_test

import (
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"relocate/oci"
)

func ExampleParseManifest() {
	const config = `{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`
	desc := v1.Descriptor{MediaType: types.OCIManifestSchema1}
	m, err := oci.ParseManifest(desc, []byte(`{"schemaVersion":2,"config":`+config+`,"layers":[]}`))
	fmt.Println(m.Config().Size, "bytes of config,", len(m.Layers()), "layers", err)

	// A document in which two readers can see two things is none.
	_, err = oci.ParseManifest(desc, []byte(`{"schemaVersion":2,"config":`+config+`,"layers":[],"layers":[`+config+`]}`))
	fmt.Println(errors.Is(err, oci.ErrMalformed))
	// Output:
	// 2 bytes of config, 0 layers <nil>
	// true
}
