package choose_test

import (
	"bytes"
	"context"
	"fmt"

	"relocate/carvel"
	"relocate/choose"
	"relocate/internal/imgpkg"
)

func ExampleRepository_Choose() {
	bundle, err := imgpkg.Build(map[string][]byte{
		carvel.LockFile:     []byte("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\n"),
		"packages/app.yml":  []byte(pkg("app.example.com", "1.0.0", "1") + "---\n" + pkg("app.example.com", "1.2.0", "2")),
		"packages/db.yml":   []byte(pkg("db.example.com", "5.0.0", "3") + "---\n" + pkg("db.example.com", "5.1.0", "4")),
		"packages/rest.yml": []byte(pkg("rest.example.com", "1.0.0", "5")),
	}, map[string]string{imgpkg.Label: "true"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	repo, err := choose.Read(ctx, bundle.Descriptor.Digest, bytes.NewReader(bundle.Layer), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := choose.ParsePattern("app.*@1.x")
	if err != nil {
		fmt.Println(err)
		return
	}
	installs := func(_ context.Context, packages []carvel.Package) (needs [][]choose.Need, err error) {
		for _, p := range packages { // a program reads the bundles of the packages
			if p.Name == "app.example.com" {
				needs = append(needs, []choose.Need{{Name: "db.example.com", Constraint: "<5.1.0"}})
			} else {
				needs = append(needs, nil)
			}
		}
		return needs, nil
	}
	chosen, err := repo.Choose(ctx, choose.Choice{Packages: []choose.Pattern{app}, Latest: 1}, installs)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range chosen.Versions {
		fmt.Println(v.Name, v.Version, v.Reason, v.NeededBy)
	}
	derived, err := repo.Derive(ctx, chosen)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(imgpkg.ReadConfig(derived.Config).Choice)
	// Output:
	// app.example.com 1.2.0 chosen []
	// db.example.com 5.0.0 dependency [app.example.com 1.2.0]
	// {"packages":[{"name":"app.*","constraint":"1.x"}],"latest":1}
}
