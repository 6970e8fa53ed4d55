// Package leak finds what reaches outside of a relocated package repository: it reads Packages and the
// text of their bundles as kapp-controller, imgpkg and kbld do (docs/carvel.md), and says of
// each reference to an image whether it ends inside.
//
// Scan looks at what is carried, and needs no registry but the source. Resolve starts from a private
// registry and goes the way that kapp-controller goes: it localises the lock of each bundle as imgpkg
// pull does, applies it to the references with kbld's literal matching, and follows each Package's
// fetch into its bundle.
package leak
