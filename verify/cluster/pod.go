package cluster

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"relocate/internal/text"
	"relocate/internal/yamlnode"
	"relocate/report"
)

// container is what a node reports about a container of a Pod.
type container struct {
	object *object
	path   string // of its status
	line   int
	ref    string  // the image in the Pod's spec, as written
	id     v1.Hash // of the running image: of its manifest or its config
}

// containers reads a Pod's container statuses.
func (x *extraction) containers(n *yaml.Node) {
	if x.object.Kind != "Pod" || x.object.apiVersion != "v1" {
		return
	}
	images := map[string]string{}
	for _, key := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range yamlnode.Items(yamlnode.Get(n, "spec", key)) {
			images[yamlnode.Text(c, "name")] = cut(yamlnode.Text(c, "image"))
		}
	}
	for _, key := range []string{"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"} {
		for i, status := range yamlnode.Items(yamlnode.Get(n, "status", key)) {
			x.path = []string{"status", key, fmt.Sprintf("[%d]", i)}
			ref, known := images[yamlnode.Text(status, "name")]
			x.containerStatus(status, ref, known)
		}
	}
	x.path = nil
}

// notPulled are the reasons of a waiting container whose node could not get its image.
var notPulled = map[string]bool{
	"ImagePullBackOff": true, "ErrImagePull": true, "ErrImageNeverPull": true, "InvalidImageName": true,
	"ImageInspectError": true, "RegistryUnavailable": true, "SignatureValidationFailed": true,
}

func (x *extraction) containerStatus(status *yaml.Node, ref string, known bool) {
	waiting := yamlnode.Get(status, "state", "waiting")
	if reason := yamlnode.Text(waiting, "reason"); notPulled[reason] {
		message := "its node could not get the image: " + reason
		if says := yamlnode.Text(waiting, "message"); says != "" {
			message += ": " + saying(says)
		}
		x.note(report.Finding{Code: codeNotPulled, Level: report.Pull, Reference: ref, Message: message,
			Action: "check the findings about its image; if the image exists, check the node's login, certificates and mirrors for the registry"}, waiting.Line, "state", "waiting")
	}
	at := yamlnode.Get(status, "imageID")
	if !yamlnode.IsText(at) || at.Value == "" { // not pulled yet
		return
	}
	id, ok := imageID(at.Value)
	if !ok || !known {
		x.note(report.Finding{Code: codeNotChecked, Level: report.Warning, Reference: ref,
			Message: "the running image was not compared: its image ID is " + text.Quote(at.Value)}, at.Line, "imageID")
		return
	}
	c := container{object: x.object, path: x.at("imageID"), line: at.Line, ref: ref, id: id}
	x.objects.held += heldClaim + len(c.path)
	x.objects.running = append(x.objects.running, c)
}

// imageID parses an image ID from a container runtime. It is REPOSITORY@sha256:…, which may follow
// docker-pullable://, or a config's digest. Docker writes docker:// before a config's digest; CRI-O
// leaves out its sha256:.
func imageID(s string) (v1.Hash, bool) {
	s = s[strings.LastIndex(s, "@")+1:]
	s = strings.TrimPrefix(s, "docker://")
	if !strings.Contains(s, ":") {
		s = "sha256:" + s
	}
	d, err := v1.NewHash(s)
	return d, err == nil && d.Algorithm == "sha256"
}
