package tarball

import v1 "github.com/opencontainers/image-spec/specs-go/v1"

// layoutDoc is the content of oci-layout.
const layoutDoc = `{"imageLayoutVersion":"` + v1.ImageLayoutVersion + `"}`

// refName is the annotation by which tools find an entry of a layout (image-spec 1.1,
// annotations.md).
const refName = v1.AnnotationRefName
