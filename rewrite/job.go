package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"relocate/bundle"
)

// JobNamespace is where an import runs in a cluster, unless it is said where.
const JobNamespace = "relocate"

// ImportJob is an import that runs in the cluster: a Job, and with shards an Indexed Job in front of it, which
// uploads layers and configs on several nodes at once. The Jobs start together. One that runs again uploads what
// is not there yet.
type ImportJob struct {
	Namespace string
	Seal      v1.Hash // of the archive, which the Jobs are named after, and require; zero: it has none
	Root      v1.Hash // that they are named after then
	Image     string  // reference of relocate
	Source    JobSource
	Shards    int          // 0: the Job alone
	Minor     int          // of the oldest Kubernetes 1.x that takes the Jobs; 0: they have all fields
	PlainHTTP bool         // the registry has no TLS
	Args      []string     // further arguments of the import that completes it
	Receipts  *JobReceipts // nil: it leaves none
}

// OldestJobMinor is the oldest Kubernetes 1.x with Indexed Jobs, without a feature gate.
const OldestJobMinor = 22

// Kubernetes 1.x in which fields of a Job are on without a feature gate (KEPs 3329, 3850, 3939).
const (
	minorPodFailurePolicy     = 26
	minorBackoffLimitPerIndex = 29
	minorPodReplacementPolicy = 29
)

// Limits of the Jobs: how long the import waits for the next layer of a shard, and how often a Pod is tried again.
const (
	awaitBlobs = "10m"
	retries    = 3
)

// Folders in the containers.
const (
	loginFolder   = "/etc/relocate/login"
	sourceFolder  = "/etc/relocate/source"
	archiveFolder = "/archive"
	rootsFolder   = "/etc/ssl/certs"
)

// Names of the objects of an import.
const (
	importAccount = "relocate-import"
	importCA      = "relocate-ca"
	urlKey        = "url" // of the Secret of the source
)

// TerminationVariable names the file for the result of a run, by which Kubernetes shows it in the status of the
// Pod (terminationMessagePath).
const TerminationVariable = "RELOCATE_TERMINATION_LOG"

// name is that of the Job that completes the import.
func (j *ImportJob) name() string { return "import-" + cmp.Or(j.Seal, j.Root).Hex[:12] }

// addImport adds what runs the import.
func (c *Cluster) addImport(j ImportJob) error {
	j.PlainHTTP = c.opt.PlainHTTP
	login := "push-" + DNSName(c.repo.RegistryStr())
	if c.opt.Secret {
		if err := c.add(registrySecret(login, j.Namespace, c.repo.Registry, c.opt.Login)); err != nil {
			return err
		}
		c.objects = append(c.objects, slices.Concat(j.Source.secret(j.Namespace), j.Receipts.secrets(j.Namespace))...)
	}
	if len(c.opt.CA) > 0 {
		text, err := certificates(c.opt.CA)
		if err != nil {
			return fmt.Errorf("CA certificates: %w", err)
		}
		c.objects = append(c.objects, object{
			APIVersion: "v1", Kind: "ConfigMap", Metadata: metadata{Name: importCA, Namespace: j.Namespace},
			Data: map[string]string{"ca.crt": string(text)},
		})
	}
	objects, err := j.objects(c.repo, login)
	if err != nil {
		return err
	}
	c.objects = append(c.objects, objects...)
	ref, err := j.imageRef()
	if err != nil {
		return err
	}
	c.noteImage(ref)
	c.note("the Jobs log in with the Secret %s/%s, if there is one: its login must be allowed to push", j.Namespace, login)
	return nil
}

// objects returns the objects of an import into repo, whose login is in a Secret: a ServiceAccount without
// rights, and the Jobs.
func (j *ImportJob) objects(repo name.Repository, login string) ([]object, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	no := false
	list := []object{{
		APIVersion: "v1", Kind: "ServiceAccount", Metadata: metadata{Name: importAccount, Namespace: j.Namespace},
		AutomountToken: &no,
	}}
	args := slices.Concat(j.Source.args(), []string{"--to-repo", repo.Name()}, j.sealArgs())
	finish := slices.Concat(args, j.Args)
	if j.Shards > 0 {
		shard := slices.Concat(args, []string{"--shard", fmt.Sprint("auto/", j.Shards)})
		list = append(list, j.job(j.name()+"-shards", "shard", j.pod("shard", login, shard), j.Shards))
		finish = append(finish, "--await-blobs", awaitBlobs)
	}
	pod := j.pod("finish", login, finish)
	if j.Receipts != nil {
		j.thenVerify(&pod, repo)
	}
	return append(list, j.job(j.name(), "finish", pod, 0)), nil
}

// sealArgs are the arguments of every command about the archive and its destination.
func (j *ImportJob) sealArgs() (args []string) {
	if j.Seal != (v1.Hash{}) {
		args = append(args, "--seal", j.Seal.String())
	}
	if j.PlainHTTP {
		args = append(args, "--registry-insecure")
	}
	return args
}

// imageRef returns the reference of relocate. One without a registry is of Docker Hub, which no closed site reaches.
func (j *ImportJob) imageRef() (name.Reference, error) {
	ref, err := name.ParseReference(j.Image)
	if err == nil && ref.Context().RegistryStr() == name.DefaultRegistry {
		err = fmt.Errorf("%q is at Docker Hub: name the registry, too", j.Image)
	}
	return ref, err
}

// noteImage says what of the image's reference may not work.
func (c *Cluster) noteImage(ref name.Reference) {
	if _, isDigest := ref.(name.Digest); !isDigest {
		c.note("the Jobs name their image by a tag, which may change: %s", ref.Name())
	}
	if host := ref.Context().RegistryStr(); host != c.repo.RegistryStr() {
		c.note("the Jobs' image is at %s: nodes pull it with the login to %s, or with one of their own",
			host, c.repo.RegistryStr())
	}
}

// check rejects what the cluster would refuse, and what cannot run.
func (j *ImportJob) check() error {
	err := checkNamespace(j.Namespace)
	if _, bad := j.imageRef(); bad != nil {
		err = errors.Join(err, fmt.Errorf("image of the Job: %w", bad))
	}
	switch {
	case j.Shards < 0 || j.Shards > bundle.MostShards:
		err = errors.Join(err, fmt.Errorf("an import in the cluster has at most %d shards", bundle.MostShards))
	case j.Minor != 0 && j.Minor < OldestJobMinor:
		err = errors.Join(err, fmt.Errorf("there are no Indexed Jobs in Kubernetes 1.%d: the oldest version that has them is 1.%d",
			j.Minor, OldestJobMinor))
	}
	return errors.Join(err, j.Source.check(j.Shards), j.Receipts.check(j.Source))
}

// has reports whether the oldest Kubernetes has a field since 1.minor.
func (j *ImportJob) has(minor int) bool { return j.Minor == 0 || j.Minor >= minor }

// labels are those of a Job and its Pods.
func (j *ImportJob) labels(component string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":      "relocate",
		"app.kubernetes.io/instance":  j.name(),
		"app.kubernetes.io/component": component,
	}
}

// job returns a Job. An Indexed Job continues when an index has failed for good: the finishing import uploads what
// that index did not. backoffLimit is set, too, so high that every index can use up its own limit first: Kubernetes
// 1.28 drops backoffLimitPerIndex, but only after defaulting backoffLimit to 2147483647.
func (j *ImportJob) job(name, component string, pod podSpec, indexes int) object {
	spec := jobSpec{Template: podTemplate{templateMetadata{j.labels(component)}, pod}}
	spec.BackoffLimit = retries
	if indexes > 0 {
		spec.CompletionMode, spec.Completions, spec.Parallelism = "Indexed", indexes, indexes
		spec.BackoffLimit = (retries + 1) * indexes
	}
	if indexes > 0 && j.has(minorBackoffLimitPerIndex) {
		spec.BackoffLimitPerIndex = retries
	}
	if j.has(minorPodFailurePolicy) {
		spec.PodFailurePolicy = failurePolicy()
		if len(pod.InitContainers) > 0 {
			spec.PodFailurePolicy.Rules = append(spec.PodFailurePolicy.Rules, failureRule{
				Action: "FailJob", OnExitCodes: &exitCodes{verifier, "In", []int{2, 4, 5, 6, 9}},
			})
		}
	}
	if j.has(minorPodReplacementPolicy) {
		spec.PodReplacementPolicy = "Failed"
	}
	return object{
		APIVersion: "batch/v1", Kind: "Job",
		Metadata: metadata{Name: name, Namespace: j.Namespace, Labels: j.labels(component)}, Spec: spec,
	}
}

// failurePolicy ends a Job whose next Pod would fail in the same way: with mistakes of configuration, without
// permission, with damage and without a trusted signature. Pods that the cluster removes do not count.
func failurePolicy() *podFailurePolicy {
	return &podFailurePolicy{[]failureRule{
		{Action: "Ignore", OnPodConditions: []podCondition{{"DisruptionTarget", "True"}}},
		{Action: "FailJob", OnExitCodes: &exitCodes{container, "In", []int{2, 4, 5, 9}}},
	}}
}

// JobSource is where an import in a cluster finds its archive: at a URL, or on a volume.
type JobSource struct {
	Secret  string // with the URL, under the key url
	Headers string // key of the Secret with headers for the server; empty: none

	Claim, Mode, Path string // a PersistentVolumeClaim, its access mode and the archive on it
}

// Access modes of claims, as kubectl prints them.
const (
	readWriteOnce    = "RWO"
	readWriteOncePod = "RWOP"
	readOnlyMany     = "ROX"
	readWriteMany    = "RWX"
)

// ParseJobSource reads url-secret:NAME[/KEY] or pvc:NAME[:MODE]/PATH.
func ParseJobSource(s string) (JobSource, error) {
	kind, rest, _ := strings.Cut(s, ":")
	place, file, hasFile := strings.Cut(rest, "/")
	switch {
	case kind == "url-secret" && (file != "" || !hasFile):
		return JobSource{Secret: place, Headers: file}, nil
	case kind == "pvc" && file != "":
		claim, mode, hasMode := strings.Cut(place, ":")
		if !hasMode {
			mode = readWriteOnce
		}
		return JobSource{Claim: claim, Mode: mode, Path: file}, nil
	}
	return JobSource{}, fmt.Errorf("%q is not url-secret:NAME[/KEY] or pvc:NAME[:MODE]/PATH", s)
}

// check is about an import with shards, 0 for none.
func (s JobSource) check(shards int) error {
	if s.Claim != "" {
		return s.checkClaim(shards)
	}
	err := checkName("Secret of the source", s.Secret)
	if s.Headers != "" && (!isSecretKey(s.Headers) || s.Headers == urlKey) {
		err = errors.Join(err, fmt.Errorf("%q is not a valid key for headers", s.Headers))
	}
	return err
}

func (s JobSource) checkClaim(shards int) error {
	err := checkName("PersistentVolumeClaim", s.Claim)
	if s.Path != path.Clean(s.Path) || path.IsAbs(s.Path) || strings.HasPrefix(s.Path, "..") || hasControl(s.Path) {
		err = errors.Join(err, fmt.Errorf("%q is not a path on the volume: it must be relative to the volume's "+
			"root and stay below it", s.Path))
	}
	switch s.Mode {
	case readOnlyMany, readWriteMany:
	case readWriteOnce, readWriteOncePod:
		if shards > 0 {
			err = errors.Join(err, fmt.Errorf("shards run on several nodes, and a volume that is %s is on one: use a URL, "+
				"an import without shards, or a claim that many nodes can mount (pvc:%s:ROX/… or :RWX)", s.Mode, s.Claim))
		}
	default:
		err = errors.Join(err, fmt.Errorf("%q is not an access mode: must be RWO, RWOP, ROX or RWX", s.Mode))
	}
	return err
}

// args are the arguments by which relocate finds the archive.
func (s JobSource) args() []string {
	if s.Claim != "" {
		file := path.Join(archiveFolder, s.Path)
		return []string{"--from-tar", strings.ReplaceAll(file, "$", "$$")} // Kubernetes expands $(NAME)
	}
	args := []string{"--from-tar-url-file", path.Join(sourceFolder, urlKey)}
	if s.Headers != "" {
		args = append(args, "--from-tar-header-file", path.Join(sourceFolder, s.Headers))
	}
	return args
}

// secret is a Secret to be filled in, nil where the archive is on a volume.
func (s JobSource) secret(namespace string) []object {
	if s.Claim != "" {
		return nil
	}
	o := newSecret(s.Secret, namespace)
	o.StringData, o.skeleton = map[string]string{urlKey: placeholderURL}, true
	if s.Headers != "" {
		o.StringData[s.Headers] = placeholderHeaders
	}
	return []object{o}
}

// isSecretKey reports whether a word is a key of a Secret (Kubernetes, IsConfigMapKey).
func isSecretKey(s string) bool {
	return len(s) <= 253 && s != "." && !strings.HasPrefix(s, "..") && secretKey.MatchString(s)
}
