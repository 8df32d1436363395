package supervisor

import (
	"slices"
	"strings"
)

// passed are the variables of the user's environment that children see. All others stay out:
// AWS_PROFILE, AWS_ENDPOINT_URL, AZURE_CLIENT_SECRET or HTTPS_PROXY would send the vendors' SDKs, which
// read them, to other accounts and other networks than the ones that proa started.
var passed = []string{
	"PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE",
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "GOCOVERDIR", "GORACE",
}

// childEnviron is what a child sees of an environment.
func childEnviron(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); slices.Contains(passed, name) {
			kept = append(kept, entry)
		}
	}
	return kept
}
