package proa

import "fmt"

// Region names one of the two clouds that serve the application.
type Region string

// The two regions.
const (
	AWS   Region = "aws"
	Azure Region = "azure"
)

// Regions lists both regions in their fixed order.
func Regions() [2]Region { return [2]Region{AWS, Azure} }

// Other returns the opposite region. The zero Region has no opposite and is returned as it is.
func (r Region) Other() Region {
	switch r {
	case AWS:
		return Azure
	case Azure:
		return AWS
	}
	return r
}

// ParseRegion reads a region's name as an operator types it.
func ParseRegion(s string) (Region, error) {
	switch Region(s) {
	case AWS, Azure:
		return Region(s), nil
	}
	return "", fmt.Errorf("unknown region %q: want %q or %q", s, AWS, Azure)
}
