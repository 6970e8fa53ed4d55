// Package choose chooses packages and versions from a repository bundle, as kapp-controller selects
// versions, and makes a bundle of what was chosen: a derived repository bundle.
//
// A Choice says what is wanted. Begin with Read, which reads the layer of a repository bundle, then
// Repository.Choose and Repository.Derive. The package opens no connection: the caller reads the layer,
// and says what the chosen packages install.
package choose
