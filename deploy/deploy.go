// Package deploy renders what Terraform or OpenTofu needs to give both real clouds the application: a
// module for each cloud and a thin root whose variables come from proa.yaml. It calls no cloud; what it
// can see beforehand that a cloud would refuse, it refuses (Check).
package deploy

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
)

//go:embed root modules
var files embed.FS

// Settings are what proa.yaml does not say.
type Settings struct {
	// Name is the prefix of every name in both clouds.
	Name string
	// FunctionZip is the package that both clouds run, a path that Terraform can read.
	FunctionZip string
	// AnnounceURL is where functions announce their writes; "" for nowhere.
	AnnounceURL string
	// LeaseURLs are where functions ask for write leases, every node's; needed where a table is fenced.
	LeaseURLs []string
	// AWSCertificate is the ARN of the zone's certificate in ACM.
	AWSCertificate string
	// AzureSubscription, AzureLocation and AzureCertificate (a Key Vault secret id) name their parts.
	AzureSubscription, AzureLocation, AzureCertificate string
	// PublisherEmail is whom API Management writes to.
	PublisherEmail string
	// PartitionKey returns the path of the partition key that a table's container must have: the Azure
	// driver's rule, which this package does not import.
	PartitionKey func(proa.Schema) string
}

// VariablesFile is the one rendered file that holds settings.
const VariablesFile = "proa.auto.tfvars.json"

// table is a value of the variable tables.
type table struct {
	HashName     string  `json:"hash_name"`
	HashType     string  `json:"hash_type"`
	RangeName    *string `json:"range_name,omitempty"`
	RangeType    *string `json:"range_type,omitempty"`
	TTLAttribute *string `json:"ttl_attribute,omitempty"`
	Database     string  `json:"database"`
	PartitionKey string  `json:"partition_key"`
}

// variables are the root's. Secrets are not among them: they come from the environment.
type variables struct {
	Name                string            `json:"name"`
	Zone                string            `json:"zone"`
	Tables              map[string]table  `json:"tables"`
	Buckets             map[string]string `json:"buckets"`
	Notices             map[string]string `json:"notices"`
	FunctionZip         string            `json:"function_zip"`
	HealthPath          string            `json:"health_path"`
	AnnounceURL         string            `json:"announce_url,omitempty"`
	LeaseURL            string            `json:"lease_url,omitempty"`
	FencedTables        string            `json:"fenced_tables,omitempty"`
	AWSRegion           string            `json:"aws_region"`
	AWSCertificateARN   string            `json:"aws_certificate_arn"`
	AzureSubscriptionID string            `json:"azure_subscription_id"`
	AzureLocation       string            `json:"azure_location"`
	AzureCertificateID  string            `json:"azure_certificate_id"`
	AzurePublisherEmail string            `json:"azure_publisher_email"`
}

// Render writes the modules, the root and the variables into dir, which is created. Files of the user's
// own stay; the rendered ones are replaced. It returns the names written. It fails with
// proa.ErrInvalidConfig, and writes nothing, where Check finds a problem.
func Render(dir string, c config.Config, s Settings) ([]string, error) {
	if problems := Check(c, s); len(problems) > 0 {
		var errs []error
		for _, p := range problems {
			errs = append(errs, p)
		}
		return nil, errors.Join(errs...)
	}
	out := map[string][]byte{}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		if rel, isRoot := cutDir(path, "root"); isRoot {
			path = rel
		}
		out[path] = content
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	vars, err := json.MarshalIndent(variablesOf(c, s), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	out[VariablesFile] = append(vars, '\n')
	var names []string
	for name, content := range out {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return nil, fmt.Errorf("deploy: %w", err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("deploy: %w", err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func cutDir(path, dir string) (rel string, ok bool) {
	if len(path) > len(dir) && path[:len(dir)+1] == dir+"/" {
		return path[len(dir)+1:], true
	}
	return path, false
}

// fenced are the tables that one region alone may write.
func fenced(c config.Config) []string {
	var names []string
	for _, t := range c.Tables {
		if t.Fenced() {
			names = append(names, t.Name)
		}
	}
	return names
}

func variablesOf(c config.Config, s Settings) variables {
	v := variables{
		Name: s.Name, Zone: c.Zone, Tables: map[string]table{}, Buckets: map[string]string{}, Notices: map[string]string{},
		FunctionZip: s.FunctionZip, HealthPath: c.Regions.AWS.Gateway.Health, AnnounceURL: s.AnnounceURL,
		AWSRegion: c.Regions.AWS.Region, AWSCertificateARN: s.AWSCertificate,
		AzureSubscriptionID: s.AzureSubscription, AzureLocation: s.AzureLocation,
		AzureCertificateID: s.AzureCertificate, AzurePublisherEmail: s.PublisherEmail,
	}
	v.LeaseURL, v.FencedTables = strings.Join(s.LeaseURLs, ","), strings.Join(fenced(c), ",")
	for _, t := range c.Tables {
		out := table{
			HashName: t.Hash.Name, HashType: t.Hash.Type, Database: t.Database,
			PartitionKey: s.PartitionKey(t.Schema()),
		}
		if t.Range.Name != "" {
			out.RangeName, out.RangeType = &t.Range.Name, &t.Range.Type
		}
		if t.TTL.Attribute != "" {
			out.TTLAttribute = &t.TTL.Attribute
		}
		v.Tables[t.Name] = out
	}
	for _, b := range c.Buckets {
		v.Buckets[b.Name] = container(b)
		if b.Notices != "" {
			v.Notices[b.Name] = b.Notices
		}
	}
	return v
}

func container(b config.Bucket) string {
	if b.Container != "" {
		return b.Container
	}
	return b.Name
}
