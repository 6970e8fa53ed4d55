package registry

// ErrNotAllowed is for tests outside of the package.
var ErrNotAllowed = errNotAllowed
