package deploy

import (
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
)

// Problem is one thing that a cloud would refuse, or that would fail at the first failover. It wraps
// proa.ErrInvalidConfig.
type Problem struct {
	Path string // where in proa.yaml, or which flag
	What string
	Hint string // what to do
}

// Error says where, what and what to do.
func (p *Problem) Error() string { return fmt.Sprintf("%s: %s; %s", p.Path, p.What, p.Hint) }

// Unwrap returns proa.ErrInvalidConfig.
func (p *Problem) Unwrap() error { return proa.ErrInvalidConfig }

// The vendors' rules of names.
var (
	// 3 to 11 characters: with a suffix, storage accounts take 24 lower-case letters and digits.
	nameRule = regexp.MustCompile(`^[a-z][a-z0-9]{2,10}$`)
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
	bucketRule = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
	containerRule = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])+$`)
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
	tableRule = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)
	// https://docs.aws.amazon.com/general/latest/gr/rande.html
	awsRegionRule = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	uuidRule      = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	arnRule       = regexp.MustCompile(`^arn:aws[a-z-]*:acm:([a-z0-9-]+):\d{12}:certificate/\S+$`)
	secretRule    = regexp.MustCompile(`^https://[^/]+\.vault\.[a-z.]+/(secrets|certificates)/[^/]+(/[^/]*)?$`)
)

// Check lists what is wrong with the settings and the configuration as a whole, without calling a cloud.
func Check(c config.Config, s Settings) []*Problem {
	k := &checker{}
	k.settings(c, s)
	k.zone(c.Zone)
	databases := map[string]bool{}
	for i, t := range c.Tables {
		path := fmt.Sprintf("tables[%d]", i)
		databases[t.Database] = true
		if !tableRule.MatchString(t.Name) {
			k.add(path+".name", fmt.Sprintf("%q is no name of a DynamoDB table", t.Name),
				"use 3 to 255 letters, digits, _, . and -")
		}
		if t.Name == "proa_state" {
			k.add(path+".name", "proa_state is data sync's own table", "name the table otherwise")
		}
	}
	if len(databases) > 1 {
		k.add("tables", "they are in several Cosmos databases, and a function opens one",
			"give all tables the same database")
	}
	for i, b := range c.Buckets {
		k.bucket(fmt.Sprintf("buckets[%d]", i), b)
	}
	if c.Traffic.TTL.D().Seconds() > c.Objectives.RTO.D().Seconds() {
		k.add("traffic.ttl", fmt.Sprintf("%s is longer than objectives.rto, %s: clients keep the dead region's address for longer",
			c.Traffic.TTL.D(), c.Objectives.RTO.D()), "shorten the TTL")
	}
	return k.problems
}

type checker struct{ problems []*Problem }

func (k *checker) add(path, what, hint string) {
	k.problems = append(k.problems, &Problem{Path: path, What: what, Hint: hint})
}

func (k *checker) settings(c config.Config, s Settings) {
	rules := []struct {
		path, value string
		rule        *regexp.Regexp
		hint        string
	}{
		{"--name", s.Name, nameRule, "use 3 to 11 lower-case letters and digits, a letter first"},
		{"regions.aws.region", c.Regions.AWS.Region, awsRegionRule, "write a region such as us-east-1"},
		{"--aws-certificate", s.AWSCertificate, arnRule, "give the ARN of the zone's certificate in ACM"},
		{"--azure-subscription", s.AzureSubscription, uuidRule, "give the id of the subscription: az account show"},
		{"--azure-certificate", s.AzureCertificate, secretRule, "give the Key Vault secret id of the zone's certificate"},
		{"--azure-location", s.AzureLocation, regexp.MustCompile(`^[a-z0-9]{2,40}$`), "write a location such as westeurope"},
		{"--publisher-email", s.PublisherEmail, regexp.MustCompile(`^[^@\s]+@[^@\s]+$`), "give an e-mail address"},
		{"--function-zip", s.FunctionZip, regexp.MustCompile(`\.zip$`), "give the function's zip"},
	}
	for _, r := range rules {
		if !r.rule.MatchString(r.value) {
			k.add(r.path, fmt.Sprintf("%q cannot be used", r.value), r.hint)
		}
	}
	if m := arnRule.FindStringSubmatch(s.AWSCertificate); m != nil && m[1] != c.Regions.AWS.Region {
		k.add("--aws-certificate", fmt.Sprintf("the certificate is in %s, the gateway in %s", m[1], c.Regions.AWS.Region),
			"request it in the gateway's region: regional gateways take no other")
	}
	if s.AnnounceURL != "" && !strings.HasPrefix(s.AnnounceURL, "https://") {
		k.add("--announce-url", "functions would send their token in the clear", "give an https:// address")
	}
	names := fenced(c)
	if len(names) > 0 && len(s.LeaseURLs) == 0 {
		k.add("--lease-url", "functions would write "+strings.Join(names, ", ")+" without a lease",
			"give every node's https://NODE/v1/lease")
	}
	for _, u := range s.LeaseURLs {
		if !strings.HasPrefix(u, "https://") || strings.Contains(u, ",") {
			k.add("--lease-url", fmt.Sprintf("%q: functions would send their token in the clear", u), "give https:// addresses")
		}
	}
}

func (k *checker) zone(zone string) {
	switch {
	case net.ParseIP(zone) != nil || !strings.Contains(zone, "."):
		k.add("zone", fmt.Sprintf("%q is no host name that a certificate can be for", zone),
			"write a name such as orders.example.com")
	case strings.HasSuffix(zone, ".test") || strings.HasSuffix(zone, ".localhost") || strings.HasSuffix(zone, ".invalid"):
		k.add("zone", fmt.Sprintf("%q is reserved for tests (RFC 6761): nobody can delegate it", zone),
			"write a name below a domain that is yours")
	}
}

func (k *checker) bucket(path string, b config.Bucket) {
	if !bucketRule.MatchString(b.Name) || strings.Contains(b.Name, "..") || net.ParseIP(b.Name) != nil ||
		strings.HasPrefix(b.Name, "xn--") || strings.HasSuffix(b.Name, "-s3alias") {
		k.add(path+".name", fmt.Sprintf("%q is no name of an S3 bucket", b.Name),
			"use 3 to 63 lower-case letters, digits and -")
	}
	if strings.Contains(b.Name, ".") {
		k.add(path+".name", fmt.Sprintf("%q has a dot: S3's certificate does not cover it", b.Name), "use - for .")
	}
	if name := container(b); len(name) < 3 || len(name) > 63 || !containerRule.MatchString(name) {
		k.add(path+".container", fmt.Sprintf("%q is no name of a Blob container", name),
			"use 3 to 63 lower-case letters, digits and single -")
	}
	if n := b.Notices; n != "" && (len(n) < 3 || len(n) > 63 || !containerRule.MatchString(n)) {
		k.add(path+".notices", fmt.Sprintf("%q is no name of a storage queue", n),
			"use 3 to 63 lower-case letters, digits and single -")
	}
}
