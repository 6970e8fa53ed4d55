package child

const RaceDetector = raceDetector

var Environment = environment

// Namespaces reports whether the kernel allows a child's namespaces, once one has run.
func Namespaces() bool { return !refused.Load() }

// RefuseNamespaces does as if the kernel allowed none, until what it returns is called.
func RefuseNamespaces() (undo func()) {
	before := refused.Swap(true)
	return func() { refused.Store(before) }
}
