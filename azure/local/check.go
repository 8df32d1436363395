package local

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// complainer makes the error for the value at a path of the file.
type complainer func(path, hint, format string, args ...any) error

// cosmosBad are the characters that names of Cosmos DB resources must not hold.
const cosmosBad = `/\?#`

// isName reports whether name has shortest to longest letters, digits and hyphens, with a letter or
// digit at both ends.
func isName(name string, shortest, longest int, letters string) bool {
	for _, c := range name {
		if !strings.ContainsRune(letters+"0123456789-", c) {
			return false
		}
	}
	return len(name) >= shortest && len(name) <= longest &&
		!strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-")
}

const (
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// check finds the first thing that could not work.
func (f *File) check(complain complainer) error {
	for _, check := range []func(complainer) error{
		f.checkData, f.checkApps, f.checkAPIs, f.checkMetricAlerts, f.checkTests,
	} {
		if err := check(complain); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) checkData(complain complainer) error {
	seen := map[string]bool{}
	for i, d := range f.Databases {
		path := fmt.Sprintf("databases[%d]", i)
		if d.Name == "" || strings.ContainsAny(d.Name, cosmosBad) || seen[d.Name] {
			return complain(path+".name", "", "%q is empty, used twice or holds one of %s",
				d.Name, cosmosBad)
		}
		seen[d.Name] = true
		for j, c := range d.Containers {
			path := fmt.Sprintf("%s.containers[%d]", path, j)
			if c.Name == "" || strings.ContainsAny(c.Name, cosmosBad) {
				return complain(path+".name", "", "%q is empty or holds one of %s", c.Name, cosmosBad)
			}
			if len(c.PartitionKey) < 1 || len(c.PartitionKey) > 3 {
				return complain(path+".partition_key", `such as ["/id"]`, "1 to 3 paths are needed")
			}
			for k, p := range c.PartitionKey {
				if len(p) < 2 || p[0] != '/' {
					return complain(fmt.Sprintf("%s.partition_key[%d]", path, k), "begin it with /",
						"%q is not a path", p)
				}
			}
			if c.DefaultTTL != nil && *c.DefaultTTL != -1 && *c.DefaultTTL < 1 {
				return complain(path+".default_ttl", "-1, or seconds from 1 on", "%d is not allowed",
					*c.DefaultTTL)
			}
		}
	}
	for i, name := range f.BlobContainers {
		if !isName(name, 3, 63, lowerCase) || strings.Contains(name, "--") {
			return complain(fmt.Sprintf("blob_containers[%d]", i),
				"3 to 63 lower-case letters, digits and single hyphens", "%q is not a container name", name)
		}
	}
	return nil
}

func (f *File) checkApps(complain complainer) error {
	seen := map[string]bool{}
	for i, a := range f.FunctionApps {
		path := fmt.Sprintf("function_apps[%d]", i)
		switch {
		case !isName(a.Name, 2, 60, lowerCase+upperCase) || seen[a.Name]:
			return complain(path+".name", "2 to 60 letters, digits and hyphens, each app its own",
				"%q is not a name for a function app", a.Name)
		case a.Package == "":
			return complain(path+".package", "name a zip file or a folder", "is missing")
		case a.Workers < 0 || a.Workers > 10:
			return complain(path+".workers", "1 to 10", "%d is out of range", a.Workers)
		case a.Concurrency < 0 || a.Concurrency > 10000:
			return complain(path+".concurrency", "1 to 10000", "%d is out of range", a.Concurrency)
		}
		seen[a.Name] = true
		for name := range a.Settings {
			if name == "" || strings.ContainsAny(name, "=\x00") {
				return complain(path+".settings", "", "%q is not a name for a setting", name)
			}
		}
	}
	return nil
}

func (f *File) checkAPIs(complain complainer) error {
	names := map[string]bool{}
	for i, a := range f.APIs {
		path := fmt.Sprintf("apis[%d]", i)
		switch {
		case a.Name == "" || names[a.Name]:
			return complain(path+".name", "each API needs its own", "%q is empty or used twice", a.Name)
		case strings.HasPrefix(a.Path, "/") || strings.HasSuffix(a.Path, "/"):
			return complain(path+".path", "leave out the slashes around it",
				"%q is not a URL suffix", a.Path)
		case !f.hasApp(a.FunctionApp):
			return complain(path+".function_app", "name one of function_apps",
				"there is no app %q", a.FunctionApp)
		case a.SubscriptionRequired && len(a.SubscriptionKeys) == 0:
			return complain(path+".subscription_keys", "give one, or leave out subscription_required",
				"no request could hold a key")
		case a.Timeout < 0:
			return complain(path+".timeout", "", "is negative")
		}
		names[a.Name] = true
		for j, op := range a.Operations {
			path := fmt.Sprintf("%s.operations[%d]", path, j)
			if op.Method != "*" && !isMethod(op.Method) {
				return complain(path+".method", "GET, POST and so on, or *", "%q is not a method", op.Method)
			}
			if !strings.HasPrefix(op.URLTemplate, "/") {
				return complain(path+".url_template", "begin it with /", "%q is not a template", op.URLTemplate)
			}
		}
	}
	return nil
}

func (f *File) hasApp(name string) bool {
	return slices.ContainsFunc(f.FunctionApps, func(a FunctionApp) bool { return a.Name == name })
}

func isMethod(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func (f *File) checkMetricAlerts(complain complainer) error {
	for i, a := range f.MetricAlerts {
		path := fmt.Sprintf("metric_alerts[%d]", i)
		switch {
		case a.Name == "" || a.Metric == "":
			return complain(path, "", "name and metric are needed")
		case !slices.Contains([]string{"Total", "Average", "Minimum", "Maximum", "Count"}, a.Aggregation):
			return complain(path+".aggregation", "Total, Average, Minimum, Maximum or Count",
				"%q is not an aggregation", a.Aggregation)
		case !slices.Contains([]string{
			"GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual",
		}, a.Operator):
			return complain(path+".operator",
				"GreaterThan, GreaterThanOrEqual, LessThan or LessThanOrEqual",
				"%q is not an operator", a.Operator)
		case a.Dimension != "" && !strings.Contains(a.Dimension, "="):
			return complain(path+".dimension", "name=value", "%q is not a dimension", a.Dimension)
		case a.Window <= 0 || a.Every <= 0:
			return complain(path, "such as 60s", "window and every are needed")
		}
	}
	return nil
}

func (f *File) checkTests(complain complainer) error {
	for i, t := range f.AvailabilityTests {
		path := fmt.Sprintf("availability_tests[%d]", i)
		u, err := url.Parse(t.URL)
		switch {
		case t.Name == "":
			return complain(path+".name", "", "is missing")
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return complain(path+".url", "", "%q is not a URL", t.URL)
		case t.Every <= 0 || t.Timeout <= 0:
			return complain(path, "such as 2s", "every and timeout are needed")
		case t.Failures < 1 || t.Successes < 1:
			return complain(path, "from 1 on", "failures and successes are needed")
		}
	}
	return nil
}
