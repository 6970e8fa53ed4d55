package rewrite

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"relocate/bundle"
)

const jobImage = "private.test/tools/relocate@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

// jobs returns the objects of an import, as text and decoded.
func jobs(t *testing.T, j ImportJob, opt ClusterOptions) (string, []map[string]any) {
	t.Helper()
	j.Seal, j.Image, j.Namespace = digestA, jobImage, JobNamespace
	opt.Import = &j
	list := []PackageRepository{packageRepository(t)}
	c, err := ForCluster(list, repository(t, "private.test/all"), opt)
	require.NoError(t, err)
	text, _, err := c.Encode()
	require.NoError(t, err)
	var objects []map[string]any
	for document := range strings.SplitSeq(strings.TrimPrefix(string(text), "---\n"), "\n---\n") {
		var o map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(document), &o))
		objects = append(objects, o)
	}
	return string(text), objects
}

// packageRepository returns some PackageRepository in private.test/all.
func packageRepository(t *testing.T) PackageRepository {
	t.Helper()
	repo := repository(t, "private.test/all")
	p, err := NewPackageRepository(repo.Digest(digestA.String()), repo, "", "all", "", "")
	require.NoError(t, err)
	return p
}

// caFile returns a file with a certificate.
func caFile(t *testing.T) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(t)})
}

// find returns a value in an object.
func find(t *testing.T, o any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o = o.(map[string]any)[step]
		case int:
			o = o.([]any)[step]
		}
	}
	return o
}

// args returns the arguments of a Job.
func args(t *testing.T, o map[string]any) string {
	t.Helper()
	return argsOf(t, find(t, o, "spec", "template", "spec", "containers", 0))
}

// argsOf returns the arguments of a container.
func argsOf(t *testing.T, o any) string {
	t.Helper()
	return fmt.Sprint(find(t, o, "args"))
}

// TestImportJobs: the Jobs, with and without shards, from a URL and from a volume.
func TestImportJobs(t *testing.T) {
	t.Parallel()
	url := JobSource{Secret: "archive"}
	text, list := jobs(t, ImportJob{Source: url, Shards: 4}, ClusterOptions{Secret: true, Namespaces: true})
	var names []string
	for _, o := range list {
		names = append(names, fmt.Sprint(o["kind"], " ", find(t, o, "metadata", "name")))
	}
	assert.Equal(t, []string{
		"Namespace kapp-controller-packaging-global", "Namespace relocate", "Secret pull-private.test", "Secret push-private.test", "Secret archive",
		"ServiceAccount relocate-import", "Job import-aaaaaaaaaaaa-shards", "Job import-aaaaaaaaaaaa", "PackageRepository all",
	}, names)
	shards, finish := list[6], list[7]
	assert.Equal(t, "[--from-tar-url-file /etc/relocate/source/url --to-repo private.test/all --seal "+digestA.String()+" --shard auto/4]", args(t, shards))
	assert.Equal(t, "[--from-tar-url-file /etc/relocate/source/url --to-repo private.test/all --seal "+digestA.String()+" --await-blobs 10m]", args(t, finish))
	assert.Equal(t, "Indexed", find(t, shards, "spec", "completionMode"))
	assert.EqualValues(t, 4, find(t, shards, "spec", "completions"))
	assert.EqualValues(t, 4, find(t, shards, "spec", "parallelism"))
	assert.Nil(t, find(t, finish, "spec", "completions"))
	assert.Nil(t, find(t, finish, "spec", "template", "spec", "topologySpreadConstraints"))
	assert.Equal(t, find(t, shards, "spec", "template", "metadata", "labels"),
		find(t, shards, "spec", "template", "spec", "topologySpreadConstraints", 0, "labelSelector", "matchLabels"))
	again, _ := jobs(t, ImportJob{Source: url, Shards: 4}, ClusterOptions{Secret: true, Namespaces: true})
	assert.Equal(t, text, again)

	_, list = jobs(t, ImportJob{Source: JobSource{Secret: "archive", Headers: "headers"}, Args: []string{"--no-tag"}}, ClusterOptions{PlainHTTP: true})
	require.Len(t, list, 3, "no Secret is written unless asked for")
	assert.Equal(t, "[--from-tar-url-file /etc/relocate/source/url --from-tar-header-file /etc/relocate/source/headers "+
		"--to-repo private.test/all --seal "+digestA.String()+" --registry-insecure --no-tag]", args(t, list[1]))

	_, list = jobs(t, ImportJob{Source: JobSource{Claim: "disk", Mode: "RWO", Path: "in/a$(HOME).tar"}}, ClusterOptions{CA: caFile(t)})
	require.Len(t, list, 4)
	assert.Equal(t, "[--from-tar /archive/in/a$$(HOME).tar --to-repo private.test/all --seal "+digestA.String()+"]", args(t, list[2]))
	assert.Contains(t, find(t, list[0], "data", "ca.crt"), "BEGIN CERTIFICATE")
	pod := find(t, list[2], "spec", "template", "spec")
	assert.EqualValues(t, 65532, find(t, pod, "securityContext", "fsGroup"))
	assert.Equal(t, map[string]any{"claimName": "disk"}, find(t, pod, "volumes", 3, "persistentVolumeClaim"))
	_, list = jobs(t, ImportJob{Source: JobSource{Claim: "disk", Mode: "ROX", Path: "a.tar"}, Shards: 2}, ClusterOptions{})
	pod = find(t, list[1], "spec", "template", "spec")
	assert.Nil(t, find(t, pod, "securityContext", "fsGroup"))
	assert.Equal(t, map[string]any{"claimName": "disk", "readOnly": true}, find(t, pod, "volumes", 3, "persistentVolumeClaim"))
}

// TestImportJobPods: every Pod keeps to the restricted profile (Pod Security Standards, 1.37), writes to /tmp
// alone, has limits, and every volume is mounted.
func TestImportJobPods(t *testing.T) {
	t.Parallel()
	for _, source := range []JobSource{{Secret: "archive"}, {Claim: "disk", Mode: "RWX", Path: "a.tar"}} {
		_, list := jobs(t, ImportJob{Source: source, Shards: 2}, ClusterOptions{})
		for _, o := range list[1:3] {
			pod := find(t, o, "spec", "template", "spec")
			container := find(t, pod, "containers", 0)
			assert.Equal(t, false, find(t, pod, "automountServiceAccountToken"))
			assert.Equal(t, "Never", find(t, pod, "restartPolicy"))
			assert.Equal(t, true, find(t, pod, "securityContext", "runAsNonRoot"))
			assert.Equal(t, "RuntimeDefault", find(t, pod, "securityContext", "seccompProfile", "type"))
			assert.Equal(t, map[string]any{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}},
			}, find(t, container, "securityContext"))
			assert.NotEmpty(t, find(t, container, "resources", "limits", "memory"))
			mounted := map[any]bool{}
			for _, m := range find(t, container, "volumeMounts").([]any) {
				mounted[find(t, m, "name")] = true
				assert.Equal(t, find(t, m, "mountPath") != "/tmp", find(t, m, "readOnly") == true)
			}
			for _, v := range find(t, pod, "volumes").([]any) {
				assert.True(t, mounted[find(t, v, "name")])
				delete(mounted, find(t, v, "name"))
			}
			assert.Empty(t, mounted)
		}
		assert.Equal(t, false, list[0]["automountServiceAccountToken"])
	}
}

// TestImportJobSchemas: every field that is written is one of the oldest Kubernetes that is asked for.
// testdata/kubernetes has the fields of its objects, recorded from the types of k8s.io/api v0.22.17, v0.27.16 and
// v0.37.2, which an API server refuses or drops where it lacks them.
func TestImportJobSchemas(t *testing.T) {
	t.Parallel()
	for minor, lacks := range map[int][]string{
		22: {"podFailurePolicy", "podReplacementPolicy", "backoffLimitPerIndex"},
		27: {"podReplacementPolicy", "backoffLimitPerIndex"},
		37: nil,
	} {
		fields := kubernetesFields(t, minor)
		for _, source := range []JobSource{{Secret: "archive", Headers: "headers"}, {Claim: "disk", Mode: "ROX", Path: "a.tar"}, {Claim: "disk", Mode: "RWX", Path: "a.tar"}} {
			_, list := jobs(t, ImportJob{Source: source, Shards: 3, Minor: minor}, ClusterOptions{Secret: true, Namespaces: true, CA: caFile(t)})
			for _, o := range list[:len(list)-1] {
				fields.check(t, o)
			}
			for _, field := range lacks {
				assert.NotContains(t, find(t, list[len(list)-3], "spec"), field, minor)
			}
		}
	}
	_, list := jobs(t, ImportJob{Source: JobSource{Secret: "archive"}, Shards: 3, Minor: 22}, ClusterOptions{})
	assert.EqualValues(t, 12, find(t, list[1], "spec", "backoffLimit"), "of all shards together")
	_, list = jobs(t, ImportJob{Source: JobSource{Secret: "archive"}, Shards: 3}, ClusterOptions{})
	assert.EqualValues(t, 3, find(t, list[1], "spec", "backoffLimitPerIndex"))
	assert.EqualValues(t, 12, find(t, list[1], "spec", "backoffLimit"), "1.28 drops the limit of each index")
	assert.EqualValues(t, 3, find(t, list[2], "spec", "backoffLimit"))
	assert.Equal(t, map[string]any{"rules": []any{
		map[string]any{"action": "Ignore", "onPodConditions": []any{map[string]any{"type": "DisruptionTarget", "status": "True"}}},
		map[string]any{"action": "FailJob", "onExitCodes": map[string]any{
			"containerName": find(t, list[1], "spec", "template", "spec", "containers", 0, "name"), "operator": "In", "values": []any{2.0, 4.0, 5.0, 9.0},
		}},
	}}, find(t, list[1], "spec", "podFailurePolicy"))
	problems := kubernetesFields(t, 22).problems("batch/v1.Job", list[1], "Job")
	assert.True(t, slices.ContainsFunc(problems, func(s string) bool { return strings.HasSuffix(s, ".podFailurePolicy") }), "the check finds what is too new: %v", problems)
}

// apiFields are the fields of types, by their names.
type apiFields map[string]map[string]string

func kubernetesFields(t *testing.T, minor int) (f apiFields) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "kubernetes", fmt.Sprintf("1.%d.json", minor)))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &f))
	return f
}

// check compares an object with the type of its kind.
func (f apiFields) check(t *testing.T, o map[string]any) {
	t.Helper()
	group := map[any]string{"v1": "core/v1.", "batch/v1": "batch/v1."}[o["apiVersion"]]
	assert.Empty(t, f.problems(group+fmt.Sprint(o["kind"]), o, fmt.Sprint(o["kind"])))
}

func (f apiFields) problems(of string, v any, at string) (list []string) {
	wrong := []string{fmt.Sprintf("%s: %T is not %s", at, v, of)}
	item, isList := strings.CutPrefix(of, "[]")
	value, isMap := strings.CutPrefix(of, "map ")
	switch v := v.(type) {
	case []any:
		if !isList {
			return wrong
		}
		for _, e := range v {
			list = append(list, f.problems(item, e, at+"[]")...)
		}
	case map[string]any:
		known, isType := f[of]
		for key, e := range v {
			of := value
			if isType {
				if of = known[key]; of == "" {
					list = append(list, at+"."+key)
					continue
				}
			} else if !isMap {
				return wrong
			}
			list = append(list, f.problems(of, e, at+"."+key)...)
		}
	case string:
		if of != "string" {
			return wrong
		}
	case bool:
		if of != "bool" {
			return wrong
		}
	case float64:
		if of != "int" {
			return wrong
		}
	default:
		return wrong
	}
	return list
}

// TestImportJobRefused: what the cluster would refuse, or what cannot work, is refused with the reason.
func TestImportJobRefused(t *testing.T) {
	t.Parallel()
	good := ImportJob{Root: digestA, Image: jobImage, Namespace: JobNamespace, Source: JobSource{Secret: "archive"}}
	for says, change := range map[string]func(*ImportJob){
		"at most":                            func(j *ImportJob) { j.Shards = bundle.MostShards + 1 },
		"no Indexed Jobs in Kubernetes 1.21": func(j *ImportJob) { j.Minor = 21 },
		"image of the Job":                   func(j *ImportJob) { j.Image = "no image" },
		"is at Docker Hub":                   func(j *ImportJob) { j.Image = "relocate:1" },
		"the namespace":                      func(j *ImportJob) { j.Namespace = "a.b" },
		"Secret of the source":               func(j *ImportJob) { j.Source.Secret = "A" },
		`"url" is not a valid key`:           func(j *ImportJob) { j.Source.Headers = "url" },
		`"a b" is not a valid key`:           func(j *ImportJob) { j.Source.Headers = "a b" },
		"PersistentVolumeClaim":              func(j *ImportJob) { j.Source = JobSource{Claim: "_", Mode: "RWO", Path: "a"} },
		"not a path":                         func(j *ImportJob) { j.Source = JobSource{Claim: "a", Mode: "RWO", Path: "../a"} },
		`"a//b" is not a path`:               func(j *ImportJob) { j.Source = JobSource{Claim: "a", Mode: "RWO", Path: "a//b"} },
		`"a\x1b" is not a path`:              func(j *ImportJob) { j.Source = JobSource{Claim: "a", Mode: "RWO", Path: "a\x1b"} },
		"not an access mode":                 func(j *ImportJob) { j.Source = JobSource{Claim: "a", Mode: "rox", Path: "a"} },
		"a volume that is RWO is on one":     func(j *ImportJob) { j.Shards, j.Source = 1, JobSource{Claim: "a", Mode: "RWO", Path: "a"} },
	} {
		j := good
		change(&j)
		_, err := j.objects(repository(t, "private.test/all"), "push")
		require.ErrorContains(t, err, says)
	}
	_, err := good.objects(repository(t, "private.test/all"), "push")
	require.NoError(t, err)
}

func TestParseJobSource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]JobSource{
		"url-secret:archive":         {Secret: "archive"},
		"url-secret:archive/headers": {Secret: "archive", Headers: "headers"},
		"pvc:disk/a.tar":             {Claim: "disk", Mode: "RWO", Path: "a.tar"},
		"pvc:disk:ROX/in/a:b.tar":    {Claim: "disk", Mode: "ROX", Path: "in/a:b.tar"},
	} {
		got, err := ParseJobSource(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for _, bad := range []string{"", "archive", "url-secret:a/", "pvc:disk", "pvc:disk/", "https://store.test/a.tar", "secret:a"} {
		_, err := ParseJobSource(bad)
		require.ErrorContains(t, err, "is not url-secret:NAME", bad)
	}
}
