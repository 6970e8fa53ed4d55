package leak

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"relocate/carvel"
	"relocate/internal/text"
	"relocate/render"
	"relocate/render/ytt"
	"relocate/report"
)

// The codes of findings about the rendering of a package. The faults of package render have their own.
const (
	codeNeedsValues report.Code = "needs-values" // a package that does not render without values
	codeStepFails   report.Code = "step-fails"   // a template step that fails with the values given
	codeNotRendered report.Code = "not-rendered" // a package whose steps cannot be rendered here
)

// renders reports whether the Packages of the folder are rendered.
func (a *appFolder) renders() bool { return a.in.opt.RenderPackages && len(a.work.uses) > 0 }

// rendered renders the Packages of g. It adds what it finds in what they deploy, and returns those of
// the findings in their text that still say something: see withdraw.go.
func (a *appFolder) rendered(ctx context.Context, g group, list []textFinding) ([]textFinding, error) {
	fates := make([][]fate, len(list)) // by finding and use
	done := map[[sha256.Size]byte]*deployed{}
	for _, u := range g.uses {
		app := a.app(u)
		key := keyOfApp(app)
		d := done[key]
		if d == nil {
			result, err := a.render(ctx, app)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			d = a.deployed(u, list, result, err)
			d.judge()
			done[key] = d
		}
		for i := range list {
			fates[i] = append(fates[i], d.fates[i])
		}
		a.report(u, d, list)
		a.install(u, d)
	}
	var left []textFinding
	for i, f := range list {
		left = append(left, f.after(g, fates[i])...)
	}
	return left, nil
}

// app returns the App that a PackageInstall without a name of its own makes of a Package.
func (a *appFolder) app(u use) render.App {
	p := u.of.Head.Package
	app := render.PackageApp(p.Name, p.Version, u.of.Spec)
	app.Values = a.in.opt.Values.Of(p.Name, p.Version)
	for i, part := range a.work.parts {
		f := render.Fetched{Files: a.fetched[i]}
		if slices.Contains(a.unknown, part.folder) {
			f.Missing = "what it fetches is not available"
		}
		app.Fetched = append(app.Fetched, f)
	}
	return app
}

// keyOfApp returns what two Apps of one folder have in common that give the same.
func keyOfApp(app render.App) (key [sha256.Size]byte) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q\n", app.RefName, app.Version, app.Spec)
	for _, f := range app.Values {
		fmt.Fprintf(sum, "%q %q\n", f.Path, f.Data)
	}
	sum.Sum(key[:0])
	return key
}

// render renders an App.
func (a *appFolder) render(ctx context.Context, app render.App) (*render.Result, error) {
	if a.cut != "" {
		return &render.Result{}, &render.NotRenderedError{Reason: a.cut}
	}
	r := a.in.opt.Renderer
	if r == nil {
		r = &render.Renderer{}
	}
	return r.App(ctx, app)
}

// inside begins the references of localised locks to what ends inside. No other reference does.
const inside = insideRepository + "@"

const insideRepository = "inside.relocate.invalid/all" // RFC 6761: no host has this name

// localiseLocks writes the locks for rendering as imgpkg does: an entry that ends inside names the
// repository of inside.
func (a *appFolder) localiseLocks() error {
	repo, err := name.NewRepository(insideRepository)
	if err != nil {
		return err
	}
	for i, l := range a.locks {
		if l == nil || len(l.ends) < len(l.images.Images) {
			continue
		}
		local := &carvel.ImagesLock{}
		for j, e := range l.images.Images {
			if l.ends[j].code == "" {
				e.Image = repo.Digest(e.Image.DigestStr())
			}
			local.Images = append(local.Images, e)
		}
		data, err := local.Encode()
		if err != nil {
			return err
		}
		if j := slices.IndexFunc(a.fetched[i], func(f ytt.File) bool { return f.Path == carvel.LockFile }); j >= 0 {
			a.fetched[i][j].Data = data
		}
	}
	return nil
}

var (
	aboutValue  = regexp.MustCompile(`assert\.fail|fail: |has no \.\w+ field or method|Validating final data values|execution error at|nil pointer evaluating`)
	aboutSource = regexp.MustCompile(`undefined: |^Error: validation: `)
)

// wantsValues reports whether a step fails for want of a value, or because of one.
func wantsValues(failed *render.FailedError) bool {
	return !aboutSource.MatchString(failed.Message) && (len(failed.Needs) > 0 || aboutValue.MatchString(failed.Message))
}

// report adds the findings of a rendering to those of the folder. When the Package does not render,
// that is one: unless a finding in the text says why, which then is certain.
func (a *appFolder) report(u use, d *deployed, list []textFinding) {
	for _, f := range d.faults {
		a.noteAt(u, f.Place, f.Step, report.Finding{Code: f.Code, Level: report.Warning, Message: f.Message, Action: f.Action})
	}
	for _, f := range d.found {
		a.noteAt(u, f.place, -1, f.Finding)
	}
	var failed *render.FailedError
	var not *render.NotRenderedError
	switch err := d.err; {
	case err == nil:
		a.out.report.PackagesRendered++
	case errors.As(err, &failed) && wantsValues(failed):
		action := "give it values with --values-file " + u.of.Head.Package.Name + "=FILE"
		if len(failed.Needs) > 0 {
			action += "; it asks for " + strings.Join(failed.Needs, ", ")
		}
		a.noteAt(u, ytt.Place{}, failed.Step, report.Finding{Code: codeNeedsValues, Level: report.Warning, Action: action,
			Message: fmt.Sprintf("the %s step needs values, and the package was examined as text only: %s", failed.Kind, clipped(failed.Message))})
	case errors.As(err, &failed):
		if !confirm(list, failed) {
			a.noteAt(u, ytt.Place{}, failed.Step, report.Finding{Code: codeStepFails, Level: report.Install,
				Message: fmt.Sprintf("the %s step fails: %s", failed.Kind, clipped(failed.Message))})
		}
	case errors.As(err, &not):
		f := newFinding(codeNotRendered, report.Information, u.at, "", "the package was examined as text only: %s", not.Reason)
		if not.NoHelm {
			f.Action = "install helm, or name it with --helm PATH; without it, what the package deploys is not proved"
		}
		a.out.findings.note(f)
	default: // a limit, or no child could be started
		a.out.findings.note(newFinding(codeNotRendered, report.Warning, u.at, "", "the package was examined as text only: %s", clipped(err.Error())))
	}
	a.out.report.PackageInstalls = max(a.out.report.PackageInstalls, d.objects.installs)
	a.out.report.WithoutSecret = max(a.out.report.WithoutSecret, d.objects.noSecret)
}

// clipped is a message of a program that runs templates.
func clipped(message string) string { return text.Clip(strings.TrimSpace(message), 4096) }

// confirm makes the findings certain that say why a step fails. It returns false when none does.
func confirm(list []textFinding, failed *render.FailedError) bool {
	confirmed := false
	for i, f := range list {
		says := f.Reference != "" && strings.Contains(failed.Message, f.Reference)
		switch f.Code {
		case codeWithoutID:
			says = failed.Kind == "kbld"
		case "helm-dependency":
			says = strings.Contains(failed.Message, "missing in charts/")
		}
		if says && f.Level == report.Install {
			list[i].Basis, confirmed = report.Rendered, true
		}
	}
	return confirmed
}

// noteAt adds a finding about what a use deploys: at a place in the folder; or, when that is not
// known, at a step of the Package (-1 for its fetch).
func (a *appFolder) noteAt(u use, place ytt.Place, step int, f report.Finding) {
	f.Reference = text.Clip(f.Reference, maxReference)
	if f.Code != codeNeedsValues { // which says that nothing came out
		f.Basis = report.Rendered
	}
	f = f.Advised()
	at := []position{u.at}
	switch {
	case place.File != "":
		at = a.positions(group{uses: []use{u}, pkg: u.at.pkg}, filePath(place.File), place.Line)
	case step >= 0 && step < len(u.of.Lines):
		at[0].line = u.of.Lines[step]
	}
	for _, at := range at {
		f.Bundle, f.Package, f.File, f.Line = at.bundle, at.pkg, at.file, at.line
		a.out.findings.note(f)
	}
}

var inlinePlace = regexp.MustCompile(`^spec\.template\[([0-9]+)\]\.ytt\.inline/(.*)$`)

// filePath returns the path in the folder, as this package has it, of a place of package render.
func filePath(place string) string {
	if m := inlinePlace.FindStringSubmatch(place); m != nil {
		return "(inline " + m[1] + ")/" + m[2]
	}
	return place
}

// textOf returns the text of a file of a use's folder; nil when there is none.
func (a *appFolder) textOf(u use, file string) []byte {
	for _, f := range u.of.Inline {
		if f.Is(file) {
			return []byte(f.Data)
		}
	}
	for _, f := range a.files {
		if f.Path == file {
			return f.Data
		}
	}
	return nil
}
