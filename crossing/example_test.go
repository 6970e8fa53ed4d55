package crossing_test

import (
	"fmt"

	"relocate/crossing"
)

func ExampleParse() {
	c, err := crossing.Parse("site/crossing.yml", []byte(`apiVersion: relocate/v1alpha1
kind: Crossing
roots:
- bundle: registry.example.com/tce/main:v0.12.0
accept: known.json
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Roots[0].Bundle, c.Accept)

	_, err = crossing.Parse("site/crossing.yml", []byte("apiVersion: relocate/v1alpha1\nkind: Crossing\nroot: []\n"))
	fmt.Println(err)
	// Output:
	// registry.example.com/tce/main:v0.12.0 site/known.json
	// site/crossing.yml:3: unknown key "root"; write roots
}
