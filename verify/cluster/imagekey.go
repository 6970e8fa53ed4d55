package cluster

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"relocate/internal/yamlnode"
	"relocate/report"
)

// imageKey matches the names of variables and arguments whose value is an image: RELATED_IMAGE_WEB,
// SIDECAR_IMAGE, --sidecar-image, sidecarImage.
var imageKey = regexp.MustCompile(`^` + relatedImage + `.|(?i:^|[-_.])(?i:image)$|[a-z0-9]Image$`)

// relatedImage begins the names of variables that name an operator's images.
const relatedImage = "RELATED_IMAGE_"

// isImage reports whether the value of such a name is an image. One without a slash is one, too; a
// switch or a number is none.
func isImage(value string) bool {
	_, notSwitch := strconv.ParseBool(value)
	_, notNumber := strconv.ParseFloat(value, 64)
	return notSwitch != nil && notNumber != nil && parse(value) != nil
}

// env adds the claims of a container's variables.
func (x *extraction) env(list *yaml.Node) {
	for i, item := range list.Content {
		x.below(fmt.Sprintf("[%d]", i), func() {
			value := yamlnode.Get(item, "value")
			if imageKey.MatchString(yamlnode.Text(item, "name")) && yamlnode.IsText(value) && isImage(value.Value) {
				x.take(claim{level: report.Pull}, value, "value")
				return
			}
			x.walk(item)
		})
	}
}

// arguments adds the claims of a container's command or arguments: --image=VALUE, or --image and
// VALUE.
func (x *extraction) arguments(list *yaml.Node) {
	named := false // by the argument before
	for i, item := range list.Content {
		name, value, hasValue := strings.Cut(item.Value, "=")
		isName := strings.HasPrefix(name, "-") && imageKey.MatchString(strings.TrimLeft(name, "-"))
		isValue := isName && hasValue
		if named && !strings.HasPrefix(item.Value, "-") {
			value, isValue = item.Value, true
		}
		named = isName && !hasValue
		x.below(fmt.Sprintf("[%d]", i), func() {
			if isValue && yamlnode.IsText(item) && isImage(value) {
				x.take(claim{level: report.Pull}, &yaml.Node{Value: value, Line: item.Line})
			} else {
				x.walk(item)
			}
		})
	}
}
