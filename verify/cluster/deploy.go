package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"relocate/bundle"
	"relocate/carvel"
	"relocate/internal/text"
	"relocate/oci"
	"relocate/render"
	"relocate/render/kbld"
	"relocate/render/ytt"
	"relocate/report"
)

// maxFetched is the limit on the bytes of a bundle that is rendered.
const maxFetched = 64 << 20

// deployment is what a PackageInstall deploys.
type deployment struct {
	install *install
	app     render.App
	values  *redactor // of its values Secrets
	secrets *redactor // of all Secrets, those with overlays too
	result  *render.Result
	err     error
	claims  []claim
	notes   []report.Finding
}

// deployments renders what each PackageInstall deploys, with its own values, and checks every image
// in it.
func (v *verification) deployments(ctx context.Context) error {
	if len(v.objects.installs) == 0 {
		return nil
	}
	var list []*deployment
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(v.opt.Jobs, 1))
	for i := range v.objects.installs {
		d := &deployment{install: &v.objects.installs[i]}
		if rendered, err := v.prepare(ctx, d); err != nil {
			_ = g.Wait() // of no interest
			return err
		} else if !rendered {
			v.result.NotRendered++
			continue
		}
		list = append(list, d)
		g.Go(func() error {
			d.render(running, v.opt.Renderer)
			return running.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range list {
		for i := range d.claims {
			v.wantClaim(&d.claims[i])
		}
	}
	if err := v.asker.ask(ctx); err != nil {
		return err
	}
	for _, d := range list {
		if d.err == nil {
			v.result.Rendered++
		} else {
			v.result.NotRendered++
		}
		v.result.Findings = append(v.result.Findings, d.notes...)
		v.result.References += len(d.claims)
		for i := range d.claims {
			v.claim(&d.claims[i])
		}
	}
	return nil
}

// prepare finds what the rendering of d needs. It returns false when d cannot be rendered: a finding
// says why, except where the Package is missing, which has one, and where nothing is rendered.
func (v *verification) prepare(ctx context.Context, d *deployment) (bool, error) {
	i := d.install
	spec, version := v.packageOf(i)
	if spec == nil || v.opt.Renderer == nil || !v.opt.RenderPackages {
		return false, nil
	}
	not := func(format string, args ...any) (bool, error) {
		v.result.Findings = append(v.result.Findings, report.Finding{Code: codeNotRendered, Level: report.Warning, Object: &i.object.Object, Path: "spec.packageRef", Line: i.line,
			Message: "it was not rendered: " + fmt.Sprintf(format, args...)})
		return false, nil
	}
	d.app = render.App{Name: i.object.Name, Namespace: i.object.Namespace, Annotations: i.annotations, RefName: i.name, Version: version, Spec: spec}
	var secrets []render.Object
	for _, name := range i.values {
		k, given := v.objects.values[objectKey{"Secret", i.object.Namespace, name}]
		switch {
		case !given:
			return not("its values Secret %s is not in the input", text.Quote(name))
		case k.wrong != "":
			return not("its values Secret %s was not read: %s", text.Quote(name), k.wrong)
		}
		d.app.Values = append(d.app.Values, valuesFiles(k.data)...)
		secrets = append(secrets, render.Object{Kind: "Secret", Name: name, Data: k.data})
	}
	for _, key := range i.needs(spec) {
		k, given := v.objects.values[key]
		switch {
		case !given:
			return not("the %s %s that it names is not in the input", key.kind, text.Quote(key.name))
		case k.wrong != "":
			return not("the %s %s that it names was not read: %s", key.kind, text.Quote(key.name), k.wrong)
		}
		d.app.Objects = append(d.app.Objects, render.Object{Kind: key.kind, Name: key.name, Data: k.data})
	}
	d.values, d.secrets = newRedactor(secrets), newRedactor(slices.Concat(secrets, d.app.Objects))
	why, err := v.fetch(ctx, &d.app)
	if why != "" {
		return not("%s", why)
	}
	return err == nil, err
}

// packageOf returns the spec and the version of the Package that a PackageInstall installs: of the
// Packages in the input or, when it has none, of those that its PackageRepositories have. If these are
// known not to have the version that it has, it is another one that it selects. Without such a Package
// the spec is nil.
func (v *verification) packageOf(i *install) (spec []byte, version string) {
	for _, p := range v.objects.packages {
		i.choose(p.name, p.version, p.spec, &version, &spec)
	}
	if len(v.objects.packages) > 0 { // of the cluster: all that it has
		return spec, version
	}
	for _, r := range v.offering {
		for _, o := range r.offers {
			i.choose(o.name, o.version, o.spec, &version, &spec)
		}
	}
	if spec != nil || v.unknown(i) != "" {
		return spec, version
	}
	selecting := *i
	selecting.version = ""
	for _, r := range v.offering {
		for _, o := range r.offers {
			if r.offersTo(i) {
				selecting.choose(o.name, o.version, o.spec, &version, &spec)
			}
		}
	}
	return spec, version
}

// choose takes a Package if the PackageInstall allows it, and it is newer than the one before.
func (i *install) choose(name, of string, from []byte, version *string, spec *[]byte) {
	switch {
	case name != i.name || from == nil || i.wrong != nil:
	case i.version != "" && i.version != of:
	case i.version == "" && !i.selects.Meets(of):
	case *spec == nil || carvel.CompareVersions(of, *version) > 0:
		*version, *spec = of, from
	}
}

// fetch reads what an App fetches. It returns why it cannot be rendered without.
func (v *verification) fetch(ctx context.Context, app *render.App) (why string, err error) {
	var spec struct {
		Fetch []struct {
			Inline, Image, HTTP, Git, HelmChart *struct{}
			ImgpkgBundle                        *struct{ Image string }
		}
	}
	if err := json.Unmarshal(app.Spec, &spec); err != nil {
		return "its Package cannot be read: " + saying(err.Error()), nil
	}
	var claims []claim
	for _, f := range spec.Fetch {
		c := claim{kind: bundleFetch}
		if f.ImgpkgBundle != nil {
			c.ref = f.ImgpkgBundle.Image
		}
		claims = append(claims, c)
		v.wantClaim(&claims[len(claims)-1])
	}
	if err := v.asker.ask(ctx); err != nil {
		return "", err
	}
	for i, f := range spec.Fetch {
		fetched := render.Fetched{}
		switch {
		case f.Inline != nil:
		case f.Image != nil, f.HTTP != nil, f.Git != nil, f.HelmChart != nil, f.ImgpkgBundle == nil:
			fetched.Missing = "only bundles of " + v.repo.Name() + " are fetched"
		default:
			n := v.bundleOf(&claims[i])
			if n == nil {
				return "what it fetches is not a bundle of " + v.repo.Name(), nil
			}
			if fetched.Files, why, err = v.unpack(ctx, n); why != "" || err != nil {
				return why, err
			}
		}
		app.Fetched = append(app.Fetched, fetched)
	}
	return "", nil
}

var errLarge = fmt.Errorf("has more than %d bytes", maxFetched)

// unpack reads the files of a bundle as imgpkg unpacks them: its lock leads to the repository when
// that has all images of it.
func (v *verification) unpack(ctx context.Context, n *bundle.Node) (files []ytt.File, why string, err error) {
	size, lockAt := int64(0), -1
	err = n.Files(ctx, v.asker.source, func(string) bool { return true }, func(f bundle.File, content io.Reader) error {
		if !f.Mode.IsRegular() {
			return nil
		}
		if size += f.Size; size > maxFetched {
			return errLarge
		}
		data, err := io.ReadAll(content)
		if f.Path == carvel.LockFile {
			lockAt = len(files)
		}
		files = append(files, ytt.File{Path: f.Path, Data: data})
		return err
	})
	wrong, broken := damage(err)
	switch {
	case errors.Is(err, errLarge):
		return nil, "its bundle " + errLarge.Error(), nil
	case broken != nil:
		return nil, "", broken
	case wrong != nil:
		return nil, "its bundle cannot be read: " + saying(wrong.Error()), nil
	case lockAt < 0:
		return files, "", nil
	}
	lock, err := carvel.ParseImagesLock(files[lockAt].Data)
	if err != nil {
		return nil, "the lock of its bundle cannot be read: " + saying(err.Error()), nil
	}
	for _, e := range lock.Images {
		v.asker.want(oci.HashOf(e.Image).String(), presence)
	}
	if err := v.asker.ask(ctx); err != nil {
		return nil, "", err
	}
	for i, e := range lock.Images {
		if !v.asker.answers[e.Image.DigestStr()].exists() {
			return files, "", nil
		}
		lock.Images[i].Image = v.repo.Digest(e.Image.DigestStr())
	}
	files[lockAt].Data, err = lock.Encode()
	return files, "", err
}

// remedy says what to do about a package that does not render.
func remedy(d *deployment, failed *render.FailedError) string {
	switch {
	case len(failed.Needs) > 0 && len(d.install.values) == 0:
		return "name a Secret with its values; it asks for " + strings.Join(failed.Needs, ", ")
	case len(d.install.values) == 0:
		return "give it values in a Secret, or choose another version"
	}
	return "correct its values Secret, or choose another version"
}

// render renders the App, and reads what comes out.
func (d *deployment) render(ctx context.Context, by *render.Renderer) {
	d.result, d.err = by.App(ctx, d.app)
	note := func(code report.Code, level report.Level, message, action string) {
		basis := report.Rendered
		if code == codeNotRendered {
			basis = ""
		}
		d.notes = append(d.notes, report.Finding{Code: code, Level: level, Basis: basis, Object: &d.install.object.Object, Path: "spec.packageRef", Line: d.install.line,
			Message: text.Clip(d.secrets.clean(message), maxMessage), Action: action})
	}
	for _, f := range d.result.Faults {
		note(f.Code, report.Warning, f.Message, f.Action)
	}
	var failed *render.FailedError
	var not *render.NotRenderedError
	switch {
	case errors.As(d.err, &failed):
		note(codeFailed, report.Install, "kapp-controller cannot render it with its values:\n"+failed.Error(), remedy(d, failed))
		return
	case errors.As(d.err, &not):
		action := ""
		if not.NoHelm {
			action = "install helm, or name it with --helm PATH"
		}
		note(codeNotRendered, report.Warning, "it was not rendered: "+not.Reason, action)
		return
	case d.err != nil: // a limit ended it, or it died
		note(codeNotRendered, report.Install, "it was not rendered: "+text.Line(d.err.Error()), "examine it yourself: its templates may do harm, or be broken")
		return
	case len(bytes.TrimSpace(d.result.Text)) == 0:
		return
	}
	objects, err := Read(bytes.NewReader(d.result.Text))
	if err != nil {
		d.err = err
		note(codeNotChecked, report.Warning, "what it deploys was not examined: "+text.Line(err.Error()), "")
		return
	}
	asked := map[string]bool{}
	for _, image := range d.result.Images {
		asked[image.Value] = asked[image.Value] || image.Result.Outcome == kbld.Asked
	}
	d.result = nil // it is large
	for _, c := range objects.claims {
		if asked[c.ref] { // kbld fails when its registry does not answer
			c.level = report.Install
		}
		c.deploys = d.values.clean(fmt.Sprintf("%s, %s", c.object, c.path))
		c.object, c.path, c.line = d.install.object, "spec.packageRef", d.install.line
		d.claims = append(d.claims, c)
	}
	for _, f := range objects.findings {
		note(f.Code, f.Level, fmt.Sprintf("it deploys %s: %s", f.Object, f.Message), f.Action)
	}
}
