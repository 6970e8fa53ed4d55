package relocate_test

import (
	"bytes"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/stretchr/testify/assert"

	"relocate"
)

// TestOptions: what makes no sense is an ErrOptions, before anything is read or locked.
func TestOptions(t *testing.T) {
	t.Parallel()
	repo := repository("registry.invalid/app")
	source := func(change func(*relocate.Source)) func() error {
		return func() error {
			from := relocate.Source{Bundles: []name.Reference{repo.Tag("1.0")}}
			change(&from)
			_, err := relocate.Plan(t.Context(), from, relocate.Target{}, relocate.Options{})
			return err
		}
	}
	destination := func(change func(*relocate.Destination)) func() error {
		return func() error {
			to := relocate.Destination{Repository: repo}
			change(&to)
			_, err := relocate.ImportStream(t.Context(), &bytes.Buffer{}, to, relocate.Options{})
			return err
		}
	}
	for message, do := range map[string]func() error{
		"names no bundle, no image and no manifests": source(func(s *relocate.Source) { s.Bundles = nil }),
		`attachments "some"`:                         source(func(s *relocate.Source) { s.Attachments = "some" }),
		"is attached to an image":                    source(func(s *relocate.Source) { s.Bundles[0] = repo.Tag("sha256-" + zeros + ".sig") }),
		"names no repository":                        destination(func(d *relocate.Destination) { d.Repository = name.Repository{} }),
		"the tag 1.0, and no tag":                    destination(func(d *relocate.Destination) { d.Tag, d.NoTag = "1.0", true }),
		`trust "all"`:                                destination(func(d *relocate.Destination) { d.Trust = "all" }),
		`attachments "all"`:                          destination(func(d *relocate.Destination) { d.Attachments = "all" }),
		"without TLS": func() error {
			return relocate.Serve(t.Context(), nil, relocate.ServeOptions{Listen: "0.0.0.0:0"})
		},
		"nothing to verify": func() error {
			_, err := relocate.Verify(t.Context(), nil, relocate.Destination{}, relocate.VerifyOptions{})
			return err
		},
		"nothing to compare": func() error {
			_, err := relocate.Verify(t.Context(), nil, relocate.Destination{Repository: repo}, relocate.VerifyOptions{})
			return err
		},
		"name one package repository, not 0": func() error {
			_, err := relocate.Render(t.Context(), nil, relocate.Source{}, "app.example.com", relocate.RenderOptions{})
			return err
		},
	} {
		err := do()
		assert.ErrorIs(t, err, relocate.ErrOptions)
		assert.ErrorContains(t, err, message)
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
