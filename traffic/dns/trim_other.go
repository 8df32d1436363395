//go:build !linux

package dns

// trim does nothing here.
func trim() {}
