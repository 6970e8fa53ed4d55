package imgpkg

import "relocate/carvel"

// Locations makes the locations image that imgpkg writes, byte for byte (docs/carvel.md, "Locations images").
func Locations(l *carvel.ImageLocations) (*Image, error) {
	text, err := l.Encode()
	if err != nil {
		return nil, err
	}
	return Build(map[string][]byte{carvel.LocationsFile: text}, nil)
}
