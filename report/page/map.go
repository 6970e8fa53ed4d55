package page

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"relocate/bundle"
	"relocate/internal/text"
)

// The treemap's canvas, and how much it shows; the rest is summed.
const (
	mapWidth, mapHeight = 1200.0, 640.0

	mostGroups = 40
	mostBoxes  = 350 // beside one for the rest of each group
	mapHues    = 8   // colours of groups, in turn
)

// mapArea is a rectangle of the canvas.
type mapArea struct{ X, Y, W, H coordinate }

// Bottom is the lower edge.
func (a mapArea) Bottom() coordinate { return a.Y + a.H }

// coordinate is a length on the canvas, written with as many decimals as can be seen.
type coordinate float64

// String formats it for an attribute of SVG.
func (c coordinate) String() string { return strconv.FormatFloat(float64(c), 'f', 2, 64) }

// mapGroup is a package in the treemap, or what stands beside packages.
type mapGroup struct {
	mapArea
	Name  string
	Class string // its colour
	Bytes int64
	Share string // of all, in per cent
	Label bool   // the name fits
	Boxes []mapBox

	id int32 // the package, by its place in the list, or one of those below
}

// mapBox is an image or bundle in a group; its area is in proportion to the bytes.
type mapBox struct {
	mapArea
	Name  string
	Title string
	Bytes int64
	Label bool

	group, node int32
}

// Groups that are not packages.
const (
	noPackage     = nobody
	sharedGroup   = several
	attachedGroup = -3
	everything    = -4
	otherPackages = -5
)

var groupNames = map[int32]string{
	noPackage: "outside the packages", sharedGroup: "shared by several packages", attachedGroup: "signatures and attachments",
	everything: "images and bundles", otherPackages: "other packages",
}

// treemap shows where the bytes go: each blob once, by package and then by image.
func (s *sizes) treemap(list []pagePackage, v versionSizes) []mapGroup {
	groups := map[int32]*mapGroup{}
	boxes := map[[2]int32]*mapBox{}
	for b, node := range s.owners() {
		group := s.groupOf(b, node, v)
		if groups[group] == nil {
			groups[group] = &mapGroup{Name: groupNames[group], id: group}
			if group >= 0 {
				groups[group].Name = list[group].Title
			}
		}
		box := boxes[[2]int32{group, node}]
		if box == nil {
			box = &mapBox{Name: "shared", Title: "What several images have", group: group, node: node}
			if node >= 0 {
				n := s.plan.Graph.Nodes[node]
				box.Name, box.Title = shortName(n), titleOf(n)
			}
			boxes[[2]int32{group, node}] = box
		}
		groups[group].Bytes += s.size(int32(b))
		box.Bytes += s.size(int32(b))
	}
	return layOut(groups, boxes)
}

// groupOf returns the group of a blob that the manifest node names.
func (s *sizes) groupOf(blob int, node int32, v versionSizes) int32 {
	switch {
	case node >= 0 && s.plan.Graph.Nodes[node].Kind == bundle.Attached:
		return attachedGroup
	case !v.known || len(v.all) == 0:
		return everything
	}
	return v.names[blob]
}

// owners returns for each blob the image or bundle that names it, or several. What an index has
// belongs to the index.
func (s *sizes) owners() []int32 {
	owner := make([]int32, len(s.plan.Blobs))
	for b := range owner {
		owner[b] = nobody
	}
	top := s.tops()
	for n, own := range s.own {
		for _, b := range own {
			switch owner[b] {
			case nobody, top[n]:
				owner[b] = top[n]
			default:
				owner[b] = several
			}
		}
	}
	return owner
}

// tops returns for each manifest the manifest itself or, for the child of an index, the index;
// several, when more than one index has it. An index comes before its children.
func (s *sizes) tops() []int32 {
	top := make([]int32, len(s.own))
	for n := range top {
		top[n] = int32(n)
	}
	for n, node := range s.plan.Graph.Nodes {
		if node.Kind != bundle.Index {
			continue
		}
		for _, c := range s.children[n] {
			switch {
			case !s.plan.Graph.Nodes[c].IsChild:
			case top[c] == c, top[c] == top[n]:
				top[c] = top[n]
			default:
				top[c] = several
			}
		}
	}
	return top
}

// shortName is what fits into a box: the last element of the repository, and the tag.
func shortName(n *bundle.Node) string {
	s := placeOf(n.Name())
	s = s[strings.LastIndex(s, "/")+1:]
	if n.Kind == bundle.Bundle {
		s += " (bundle)"
	}
	return s
}

// layOut gives groups and boxes their places, the largest first. Small ones are summed.
func layOut(groups map[int32]*mapGroup, boxes map[[2]int32]*mapBox) []mapGroup {
	list := largestGroups(groups)
	at := map[int32]*mapGroup{}
	for i := range list {
		at[list[i].id] = &list[i]
	}
	sorted := slices.SortedFunc(maps.Values(boxes), func(a, b *mapBox) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.group, b.group), cmp.Compare(a.node, b.node))
	})
	rest, summed, shown := map[int32]int64{}, map[int32]int{}, 0
	for _, box := range sorted {
		g := at[box.group]
		switch {
		case box.Bytes == 0:
		case g != nil && shown < mostBoxes:
			shown++
			g.Boxes = append(g.Boxes, *box)
		case g != nil:
			rest[g.id] += box.Bytes
			summed[g.id]++
		default:
			rest[otherPackages] += box.Bytes
			summed[otherPackages]++
		}
	}
	for i := range list {
		if g := &list[i]; summed[g.id] > 0 {
			name := text.Count(summed[g.id], "other")
			g.Boxes = append(g.Boxes, mapBox{Name: name, Title: name + ", each smaller than those shown", Bytes: rest[g.id]})
		}
	}
	return placeGroups(list)
}

// largestGroups returns the largest groups, and the rest as one.
func largestGroups(groups map[int32]*mapGroup) []mapGroup {
	var list []mapGroup
	for _, g := range groups {
		if g.Bytes > 0 {
			list = append(list, *g)
		}
	}
	slices.SortFunc(list, func(a, b mapGroup) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.id, b.id)) })
	if len(list) > mostGroups {
		rest := mapGroup{Name: groupNames[otherPackages], id: otherPackages}
		for _, g := range list[mostGroups:] {
			rest.Bytes += g.Bytes
		}
		list = append(list[:mostGroups], rest)
	}
	return list
}

// placeGroups computes areas, shares and colours.
func placeGroups(list []mapGroup) []mapGroup {
	var all int64
	weights := make([]int64, len(list))
	for i, g := range list {
		weights[i] = g.Bytes
		all += g.Bytes
	}
	hue := 0
	for i, area := range squarify(weights, mapArea{0, 0, mapWidth, mapHeight}) {
		g := &list[i]
		g.mapArea, g.Share = area, percent(g.Bytes, all)
		g.Class = "grey"
		if g.id >= 0 || g.id == everything {
			g.Class = fmt.Sprintf("hue%d", hue%mapHues)
			hue++
		}
		g.Label = fits(g.Name, area.W) && area.H >= 2*mapLine
		var inner []int64
		for _, box := range g.Boxes {
			inner = append(inner, box.Bytes)
		}
		for j, area := range squarify(inner, area) {
			box := &g.Boxes[j]
			box.mapArea = area
			box.Title += fmt.Sprintf("\n%s, %s of all\n%s", text.Size(box.Bytes), percent(box.Bytes, all), g.Name)
			room := area.H
			if area.Y == g.Y { // the group's name is above
				room -= mapLine
			}
			box.Label = fits(box.Name, area.W) && room >= mapLine
		}
	}
	return list
}

// mapLine is the height of a line of text on the canvas.
const mapLine = 20

// fits reports whether a line of text is at most as wide as a box.
func fits(s string, w coordinate) bool { return 7.2*float64(len([]rune(s)))+14 <= float64(w) }

// percent formats a share above zero: "12.3 %".
func percent(part, all int64) string {
	if all == 0 || 1000*float64(part) < float64(all) {
		return "< 0.1 %"
	}
	return strconv.FormatFloat(math.Round(1000*float64(part)/float64(all))/10, 'f', 1, 64) + " %"
}

// squarify divides an area by weights, which are positive, into rectangles as square as possible
// (Bruls, Huizing and van Wijk, Squarified Treemaps, 2000). Products are converted so that no
// machine fuses them with sums: all machines write the same page.
func squarify(weights []int64, area mapArea) []mapArea {
	out := make([]mapArea, 0, len(weights))
	var left float64
	for _, w := range weights {
		left += float64(w)
	}
	for len(weights) > 0 {
		side := float64(min(area.W, area.H))
		if side <= 0 || left <= 0 { // nothing that can be seen
			return append(out, make([]mapArea, len(weights))...)
		}
		scale := float64(area.W*area.H) / left
		row, sum, worst := 0, 0.0, math.Inf(1)
		low, high := math.Inf(1), 0.0
		for ; row < len(weights); row++ {
			w := float64(weights[row])
			low, high = min(low, w), max(high, w)
			ratio := worstRatio(high*scale, low*scale, (sum+w)*scale, side)
			if ratio > worst {
				break
			}
			worst, sum = ratio, sum+w
		}
		thick := coordinate(sum * scale / side)
		along := 0.0
		for _, w := range weights[:row] {
			length := coordinate(float64(w) / sum * side)
			if area.W >= area.H { // a column at the left
				out = append(out, mapArea{area.X, area.Y + coordinate(along), thick, length})
			} else {
				out = append(out, mapArea{area.X + coordinate(along), area.Y, length, thick})
			}
			along += float64(length)
		}
		if area.W >= area.H {
			area.X, area.W = area.X+thick, area.W-thick
		} else {
			area.Y, area.H = area.Y+thick, area.H-thick
		}
		weights, left = weights[row:], left-sum
	}
	return out
}

// worstRatio is the worst aspect ratio in a row along side, whose weights have this maximum,
// minimum and sum.
func worstRatio(high, low, sum, side float64) float64 {
	long := side * side
	return max(float64(long*high)/float64(sum*sum), float64(sum*sum)/float64(long*low))
}
