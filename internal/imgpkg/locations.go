package imgpkg

// Locations makes the locations image that imgpkg writes, byte for byte (docs/carvel.md, "Locations
// images").
func Locations(l interface{ Encode() ([]byte, error) }) (*Image, error) {
	text, err := l.Encode()
	if err != nil {
		return nil, err
	}
	return Build(map[string][]byte{LocationsFile: text}, nil)
}
