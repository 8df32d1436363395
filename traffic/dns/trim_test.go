package dns

import "testing"

// The program goes on after its pages were given back, and its constants are what they were.
func TestTrimLosesNothing(t *testing.T) {
	want := string([]byte("a constant of the program"))
	for range 3 {
		trim()
		if got := "a constant of the program"; got != want {
			t.Fatalf("%q", got)
		}
	}
}
