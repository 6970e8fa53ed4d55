package httpfile

// For tests of the parsers of what servers send.
var (
	ParseRange = parseRange
	CodeIn     = codeIn
	Expiry     = expiry
)

// Bounds returns the range.
func (r contentRange) Bounds() (first, last, total int64) { return r.first, r.last, r.total }
