package drill

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as CI systems read it: a suite for each run, a case for each objective and promise.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: "proa drill", Time: seconds(r.TookMS)}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		for k := range s.Runs {
			run := &s.Runs[k]
			suite := junitSuite{
				Name: s.Name, Time: seconds(run.TookMS), Timestamp: run.Started.Format(time.RFC3339),
			}
			if len(s.Runs) > 1 {
				suite.Name = fmt.Sprintf("%s, run %d", s.Name, k+1)
			}
			for _, c := range run.checks(r.Objectives) {
				jc := junitCase{Class: "proa.drill." + s.Name, Name: c.Name, Time: seconds(run.TookMS)}
				if c.Missed != "" {
					jc.Failure = &junitFailure{Message: c.Missed, Text: fmt.Sprintf("%s\nreplay: proa drill %s --seed %d\n", c.Missed, s.Name, run.Seed)}
					suite.Failures++
				}
				suite.Cases = append(suite.Cases, jc)
			}
			suite.Tests = len(suite.Cases)
			all.Tests += suite.Tests
			all.Failures += suite.Failures
			all.Suites = append(all.Suites, suite)
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(ms float64) string { return fmt.Sprintf("%.3f", ms/1000) }
