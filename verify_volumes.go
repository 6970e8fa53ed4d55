package relocate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
	"relocate/internal/text"
	"relocate/report"
	"relocate/tarball"
	"relocate/volume"
)

// checkVolumes adds to the verdict which volumes of an archive are missing or wrong. It hashes those in
// which there is damage, and those for parity: the others were compared as part of the archive. plan may
// be nil.
func (c *verifying) checkVolumes(ctx context.Context, damage []tarball.Damage, plan *bundle.Plan) error {
	set := c.archive.Volumes()
	if set == nil {
		return nil
	}
	numbers := append(set.Missing(), c.archive.Numbers(damage)...)
	for i := set.Volumes(); i < set.All(); i++ {
		numbers = append(numbers, i)
	}
	slices.Sort(numbers)
	wrong, err := c.hashVolumes(ctx, set, slices.Compact(numbers))
	if err != nil {
		return err
	}
	c.verdict.Problems = append(c.verdict.Problems, volumeProblems(set, wrong, c.archive, plan)...)
	c.noteLists(set)
	c.verdict.Fix = fixOf(set, wrong)
	return nil
}

// inVolume says in which volumes damage is, before what it is; empty where the archive is in one file.
func (c *verifying) inVolume(d tarball.Damage) string {
	if in := c.archive.VolumesOf(d); in != "" {
		return "in " + in + ", "
	}
	return ""
}

// noteLists says which copies of the list are damaged.
func (o *Options) noteLists(set *volume.Set) {
	for _, note := range set.Notes {
		o.note("", "%s; another copy is used", note)
	}
}

// hashVolumes compares volumes with their list.
func (o *Options) hashVolumes(ctx context.Context, set *volume.Set, numbers []int) ([]volume.Wrong, error) {
	var bytes int64
	for _, i := range numbers {
		bytes += set.SizeOf(i)
	}
	ph := o.begin("volumes", 0, bytes)
	defer ph.end()
	return set.Check(ctx, numbers, func(n int64) { ph.add(0, n) })
}

// volumeProblems says which volumes are wrong, and which images need them, where the archive and its
// plan are known; they may be nil.
func volumeProblems(set *volume.Set, wrong []volume.Wrong, a *tarball.Archive, plan *bundle.Plan) (list []report.Problem) {
	for _, w := range wrong {
		p := report.Problem{Kind: report.Damaged, What: "volume " + set.VolumeName(w.Number), Reason: w.Reason}
		if w.Missing {
			p.Kind = report.Missing
		}
		if w.Reason == volume.NotFound {
			p.Reason = "it is in none of the folders"
		}
		if plan != nil && w.Number < set.Volumes() {
			p.Images = usersIn(a, plan, w.Number)
		}
		list = append(list, p)
	}
	return list
}

// usersIn names the images that need what is in a volume.
func usersIn(a *tarball.Archive, plan *bundle.Plan, number int) (names []string) {
	var damage []tarball.Damage
	for _, d := range a.In(number) {
		damage = append(damage, tarball.Damage{Digest: d})
	}
	for _, list := range usersOf(plan, damage) {
		names = append(names, list...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fixOf says what fixes volumes.
func fixOf(set *volume.Set, wrong []volume.Wrong) string {
	if 0 < len(wrong) && len(wrong) <= set.Parity {
		return "rebuild what is lost or damaged: relocate repair " + set.Path() + set.Elsewhere()
	}
	return "transfer these volumes again, or name the folders that have them with --volumes DIR; if the originals are damaged, too, export again"
}

// VerifyVolume compares one volume of an archive with the list that lies beside it, or in one of the
// folders. It does not need the others.
//
// Errors: those of volume.Open.
func VerifyVolume(ctx context.Context, path string, folders []string, opt VerifyOptions) (*report.Verdict, error) {
	dir, name := filepath.Split(path)
	set, err := volume.Open(dir+volume.File(name), folders...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = set.Close() }() // it was read only
	number := set.Number(name)
	if number < 0 {
		return nil, optionsf("%s: the archive has no such volume: it has %s", path, volumesOf(set.Layout))
	}
	opt.noteLists(set)
	wrong, err := opt.hashVolumes(ctx, set, []int{number})
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", path, err)
	}
	list := volume.ListName(volume.File(name))
	v := &report.Verdict{
		Act: "Verification", Subject: path, Problems: volumeProblems(set, wrong, nil, nil),
		Fix:       "transfer the volume again, or rebuild it where all the others are: relocate repair " + volume.File(name),
		NotProved: []string{"that the list is the one that was exported: verify the whole archive, with --seal"},
	}
	switch seal := opt.Seal.String(); {
	case opt.Seal == (v1.Hash{}):
	case seal != set.Seal:
		v.Problems = append(v.Problems, report.Problem{Kind: report.Different, What: "seal", Reason: fmt.Sprintf("%s has %s, want %s", list, set.Seal, seal)})
	default:
		v.NotProved = []string{"that the list is the one that was exported, but for its seal: verify the whole archive"}
	}
	v.Judge()
	if v.OK {
		v.Sentence = fmt.Sprintf("%s is volume %s", path, ordinal(set, number))
		v.Proved = []string{"its SHA-256 is the one in " + list + ", which has the seal " + set.Seal}
	}
	return v, nil
}

// ordinal says which volume it is: "3 of 6 of corp.tar".
func ordinal(set *volume.Set, number int) string {
	if n := number - set.Volumes(); n >= 0 {
		return fmt.Sprintf("%d of %d for parity of %s", n+1, set.Parity, filepath.Base(set.Path()))
	}
	return fmt.Sprintf("%d of %d of %s", number+1, set.Volumes(), filepath.Base(set.Path()))
}

// volumesOf says how many volumes there are: "6 volumes and 2 for parity".
func volumesOf(l volume.Layout) string {
	s := text.Count(l.Volumes(), "volume")
	if l.Parity > 0 {
		s += fmt.Sprintf(" and %d for parity", l.Parity)
	}
	return s
}

// Repair rebuilds the volumes of the archive at path that are lost or damaged, from those in its folder
// and in others, into its folder. What is rebuilt gets its name only when the whole archive is what its seal
// and its digests say. The verdict is OK when nothing is wrong any longer; otherwise it says what is lost,
// and nothing was changed.
//
// Errors: those of volume.Open; that of ctx; those of files.
func Repair(ctx context.Context, path string, folders []string, opt Options) (*report.Verdict, error) {
	set, err := volume.Open(path, folders...)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, optionsf("repair %s: %s is missing, which lies beside the volumes of an archive; an archive in one file cannot be repaired", path, volume.ListName(path))
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = set.Close() }() // what was written was synced
	var all []int
	for i := range set.All() {
		all = append(all, i)
	}
	opt.noteLists(set)
	wrong, err := opt.hashVolumes(ctx, set, all)
	if err != nil {
		return nil, fmt.Errorf("repair %s: %w", path, err)
	}
	r := &repairing{opt: opt, set: set, wrong: wrong, verdict: &report.Verdict{Act: "Repair", Subject: path}}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("repair %s: %w", path, err)
	}
	return r.verdict, nil
}

// repairing is one Repair.
type repairing struct {
	opt     Options
	set     *volume.Set
	wrong   []volume.Wrong
	verdict *report.Verdict
}

func (r *repairing) run(ctx context.Context) error {
	if len(r.wrong) > r.set.Parity {
		return r.tooMany(ctx)
	}
	var numbers []int
	var names []string
	var bytes int64
	for _, w := range r.wrong {
		numbers, names = append(numbers, w.Number), append(names, r.set.VolumeName(w.Number))
	}
	for i := range r.set.All() {
		bytes += r.set.SizeOf(i)
	}
	v := r.verdict
	v.Sentence = "all volumes are as their list says; nothing was rebuilt"
	v.NotProved = []string{"that the list is the one that was exported, and the archive whole: relocate verify reads the archive itself"}
	if len(numbers) > 0 {
		ph := r.opt.begin("repair", 0, bytes)
		rebuilt, err := r.set.Rebuild(ctx, numbers, func(n int64) { ph.add(0, n) })
		ph.end()
		if err != nil {
			return err
		}
		if err := r.check(ctx); err != nil || len(v.Problems) > 0 {
			return errors.Join(err, rebuilt.Discard())
		}
		if err := rebuilt.Accept(); err != nil {
			return errors.Join(err, rebuilt.Discard())
		}
		v.Sentence = fmt.Sprintf("%s rebuilt: %s", text.Count(len(names), "volume"), strings.Join(names, ", "))
		v.Proved = []string{"every byte of the archive is what its seal and its digests say", "the rebuilt volumes are the bytes that were exported"}
		v.NotProved = []string{"that it is the file that was exported: relocate verify compares it with --seal"}
	}
	if err := r.set.WriteList(); err != nil {
		return err
	}
	v.OK = true
	return nil
}

// check checks the archive with the volumes that were rebuilt, which have no names yet.
func (r *repairing) check(ctx context.Context) error {
	a, err := tarball.OpenSet(r.set)
	if err != nil {
		return err
	}
	blobs, bytes := a.Blobs()
	ph := r.opt.begin("verify", blobs, bytes)
	damage, err := a.Check(ctx, r.opt.jobs(), ph.add)
	ph.end()
	if err != nil || len(damage) == 0 {
		return err
	}
	v := r.verdict
	for _, d := range damage[:min(len(damage), mostDamage)] {
		v.Problems = append(v.Problems, report.Problem{Kind: report.Damaged, What: d.Member, Reason: fmt.Sprintf("%s byte %d: %s", place(d), d.Offset, d.Reason)})
	}
	v.Sentence = "what was rebuilt is not the archive that its seal names; nothing was changed"
	v.Hint = "the list or the volumes were changed together: transfer the set again"
	return nil
}

// tooMany says what is lost.
func (r *repairing) tooMany(ctx context.Context) error {
	var plan *bundle.Plan
	a, err := tarball.OpenSet(r.set)
	if err == nil {
		plan, err = a.Plan(ctx, r.opt.jobs(), r.opt.Renderer)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	v := r.verdict
	if err != nil {
		r.opt.note("", "which images are lost is not known: %v", err)
	}
	v.Problems = volumeProblems(r.set, r.wrong, a, plan)
	v.Sentence = (&volume.TooManyError{Wrong: len(r.wrong), Parity: r.set.Parity}).Error()
	v.Hint = fixOf(r.set, nil)
	return nil
}
