package rewrite

import (
	"regexp"
	"strings"
	"unicode"
)

// jobSpec is the spec of a Job (batch/v1), as far as it is used here.
type jobSpec struct {
	CompletionMode       string            `json:"completionMode,omitempty"`
	Completions          int               `json:"completions,omitempty"`
	Parallelism          int               `json:"parallelism,omitempty"`
	BackoffLimit         int               `json:"backoffLimit"`
	BackoffLimitPerIndex int               `json:"backoffLimitPerIndex,omitempty"`
	PodReplacementPolicy string            `json:"podReplacementPolicy,omitempty"`
	PodFailurePolicy     *podFailurePolicy `json:"podFailurePolicy,omitempty"`
	Template             podTemplate       `json:"template"`
}

type podFailurePolicy struct {
	Rules []failureRule `json:"rules"`
}

type failureRule struct {
	Action          string         `json:"action"`
	OnPodConditions []podCondition `json:"onPodConditions,omitempty"`
	OnExitCodes     *exitCodes     `json:"onExitCodes,omitempty"`
}

type podCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

type exitCodes struct {
	ContainerName string `json:"containerName"`
	Operator      string `json:"operator"`
	Values        []int  `json:"values"`
}

type podTemplate struct {
	Metadata templateMetadata `json:"metadata"`
	Spec     podSpec          `json:"spec"`
}

type templateMetadata struct {
	Labels map[string]string `json:"labels"`
}

type podSpec struct {
	ServiceAccountName string             `json:"serviceAccountName"`
	AutomountToken     bool               `json:"automountServiceAccountToken"`
	RestartPolicy      string             `json:"restartPolicy"`
	ImagePullSecrets   []nameRef          `json:"imagePullSecrets"`
	SecurityContext    podSecurity        `json:"securityContext"`
	Spread             []spreadConstraint `json:"topologySpreadConstraints,omitempty"`
	InitContainers     []podContainer     `json:"initContainers,omitempty"`
	Containers         []podContainer     `json:"containers"`
	Volumes            []podVolume        `json:"volumes"`
}

type podSecurity struct {
	RunAsNonRoot        bool              `json:"runAsNonRoot"`
	FSGroup             int               `json:"fsGroup,omitempty"`
	FSGroupChangePolicy string            `json:"fsGroupChangePolicy,omitempty"`
	SeccompProfile      map[string]string `json:"seccompProfile"`
}

type spreadConstraint struct {
	MaxSkew           int           `json:"maxSkew"`
	TopologyKey       string        `json:"topologyKey"`
	WhenUnsatisfiable string        `json:"whenUnsatisfiable"`
	LabelSelector     labelSelector `json:"labelSelector"`
}

type labelSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type podContainer struct {
	Name                     string                       `json:"name"`
	Image                    string                       `json:"image"`
	Args                     []string                     `json:"args"`
	Env                      []envVar                     `json:"env"`
	Resources                map[string]map[string]string `json:"resources"`
	TerminationMessagePolicy string                       `json:"terminationMessagePolicy"`
	SecurityContext          containerSecurity            `json:"securityContext"`
	VolumeMounts             []volumeMount                `json:"volumeMounts"`
}

type envVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type containerSecurity struct {
	AllowPrivilegeEscalation bool                `json:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool                `json:"readOnlyRootFilesystem"`
	Capabilities             map[string][]string `json:"capabilities"`
}

type volumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
}

type podVolume struct {
	Name      string        `json:"name"`
	EmptyDir  *struct{}     `json:"emptyDir,omitempty"`
	Secret    *secretVolume `json:"secret,omitempty"`
	ConfigMap *configVolume `json:"configMap,omitempty"`
	Claim     *claimVolume  `json:"persistentVolumeClaim,omitempty"`
}

type secretVolume struct {
	SecretName string      `json:"secretName"`
	Items      []keyToPath `json:"items,omitempty"`
	Optional   bool        `json:"optional,omitempty"`
}

type keyToPath struct {
	Key  string `json:"key"`
	Path string `json:"path"`
}

type configVolume struct {
	Name     string `json:"name"`
	Optional bool   `json:"optional"`
}

type claimVolume struct {
	ClaimName string `json:"claimName"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
}

const (
	container = "relocate" // its name
	imageUser = 65532      // in the image of relocate
)

// pod returns the Pod of an import: under the restricted profile of Pod Security Standards, with a root file
// system that is only read, and without a token of the cluster. The user is the image's, so that OpenShift can
// choose another.
func (j *ImportJob) pod(component, login string, args []string) podSpec {
	p := podSpec{
		ServiceAccountName: importAccount, RestartPolicy: "Never", ImagePullSecrets: []nameRef{{login}},
		SecurityContext: podSecurity{RunAsNonRoot: true, SeccompProfile: map[string]string{"type": "RuntimeDefault"}},
		Containers: []podContainer{{
			Name: container, Image: j.Image, Args: args,
			Env: []envVar{{"DOCKER_CONFIG", loginFolder}, {TerminationVariable, "/dev/termination-log"}},
			Resources: map[string]map[string]string{
				"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "384Mi"}, // docs/decisions/0005-limits.md
			},
			TerminationMessagePolicy: "FallbackToLogsOnError",
			SecurityContext: containerSecurity{
				ReadOnlyRootFilesystem: true, Capabilities: map[string][]string{"drop": {"ALL"}},
			},
		}},
	}
	if component == "shard" {
		p.Spread = []spreadConstraint{{1, "kubernetes.io/hostname", "ScheduleAnyway", labelSelector{j.labels(component)}}}
	}
	p.mount("tmp", "/tmp", podVolume{EmptyDir: &struct{}{}})
	p.mount("login", loginFolder, podVolume{
		Secret: &secretVolume{login, []keyToPath{{".dockerconfigjson", "config.json"}}, true},
	})
	p.mount("ca", rootsFolder, podVolume{ConfigMap: &configVolume{importCA, true}})
	if s := j.Source; s.Claim == "" {
		p.mount("source", sourceFolder, podVolume{Secret: &secretVolume{SecretName: s.Secret}})
		return p
	}
	p.mount("archive", archiveFolder, podVolume{Claim: &claimVolume{j.Source.Claim, j.Source.Mode == readOnlyMany}})
	if j.Source.Mode != readOnlyMany { // archives are written for their owner alone
		p.ownVolumes()
	}
	return p
}

// ownVolumes gives the files on volumes to the image's user.
func (p *podSpec) ownVolumes() {
	p.SecurityContext.FSGroup, p.SecurityContext.FSGroupChangePolicy = imageUser, "OnRootMismatch"
}

// mount adds a volume, which only /tmp is written to.
func (p *podSpec) mount(name, at string, volume podVolume) {
	volume.Name = name
	p.Volumes = append(p.Volumes, volume)
	mounts := &p.Containers[0].VolumeMounts
	*mounts = append(*mounts, volumeMount{name, at, volume.EmptyDir == nil})
}

var secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
