package deploy_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/deploy"
)

func valid() (config.Config, deploy.Settings) {
	c := config.Default()
	c.Zone = "orders.example.com"
	return c, deploy.Settings{
		Name: "orders", FunctionZip: "./orders.zip", AnnounceURL: "https://node-3.example.com/v1/announce",
		AWSCertificate:    "arn:aws:acm:us-east-1:123456789012:certificate/0d1c2b3a",
		AzureSubscription: "11111111-2222-3333-4444-555555555555", AzureLocation: "westeurope",
		AzureCertificate: "https://orders.vault.azure.net/secrets/orders", PublisherEmail: "ops@example.com",
		PartitionKey: azure.PartitionKeyPath,
	}
}

func TestTheVariablesSayWhatTheConfigurationSays(t *testing.T) {
	c, s := valid()
	c.Tables = append(c.Tables, config.Table{
		Name: "carts", Database: "proa", Hash: config.KeyAttribute{Name: "user", Type: "S"},
		Range: config.KeyAttribute{Name: "at", Type: "N"}, TTL: config.TTL{Attribute: "expires"},
	})
	c.Buckets = []config.Bucket{{Name: "receipts", Notices: "receipts-notices"}, {Name: "photos", Container: "pictures"}}
	dir := t.TempDir()
	if _, err := deploy.Render(dir, c, s); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, deploy.VariablesFile))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Zone    string
		Tables  map[string]map[string]any
		Buckets map[string]string
		Notices map[string]string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	cart := got.Tables["carts"]
	if got.Zone != "orders.example.com" || cart["range_type"] != "N" || cart["ttl_attribute"] != "expires" ||
		cart["partition_key"] != "/user" || got.Tables["orders"]["partition_key"] != "/id" {
		t.Errorf("got %s", b)
	}
	if got.Buckets["receipts"] != "receipts" || got.Buckets["photos"] != "pictures" {
		t.Errorf("buckets %v", got.Buckets)
	}
	if len(got.Notices) != 1 || got.Notices["receipts"] != "receipts-notices" {
		t.Errorf("notices %v", got.Notices)
	}
}

func TestFencedTablesGetLeases(t *testing.T) {
	c, s := valid()
	c.Tables = slices.Clone(c.Tables)
	c.Tables[0].Fencing = config.FencingLease
	if err := deployed(t, c, s, nil); err == nil || !strings.Contains(err.Error(), "--lease-url: functions would write orders without a lease") {
		t.Errorf("without addresses: %v", err)
	}
	s.LeaseURLs = []string{"http://node-1.example.com/v1/lease"}
	if err := deployed(t, c, s, nil); err == nil || !strings.Contains(err.Error(), "in the clear") {
		t.Errorf("without TLS: %v", err)
	}
	s.LeaseURLs = []string{"https://node-1.example.com/v1/lease", "https://node-2.example.com/v1/lease"}
	var got struct {
		LeaseURL string `json:"lease_url"`
		Fenced   string `json:"fenced_tables"`
	}
	if err := deployed(t, c, s, &got); err != nil || got.Fenced != "orders" ||
		got.LeaseURL != "https://node-1.example.com/v1/lease,https://node-2.example.com/v1/lease" {
		t.Errorf("%+v %v", got, err)
	}
	for _, module := range []string{"aws", "azure"} {
		b, err := os.ReadFile(filepath.Join("modules", module, "function.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"PROA_FENCED_TABLES", "PROA_LEASE_URL"} {
			if !strings.Contains(string(b), name) {
				t.Errorf("%s: the function has no %s", module, name)
			}
		}
	}
}

// deployed renders, and reads the variables into what is given.
func deployed(t *testing.T, c config.Config, s deploy.Settings, into any) error {
	t.Helper()
	dir := t.TempDir()
	if _, err := deploy.Render(dir, c, s); err != nil || into == nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, deploy.VariablesFile))
	if err != nil {
		t.Fatal(err)
	}
	return json.Unmarshal(b, into)
}

func TestRenderKeepsTheUsersFilesAndRepeats(t *testing.T) {
	c, s := valid()
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.tf")
	if err := os.WriteFile(mine, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := deploy.Render(dir, c, s)
	if err != nil {
		t.Fatal(err)
	}
	second, err := deploy.Render(dir, c, s)
	if err != nil || !slices.Equal(first, second) || slices.Contains(second, "mine.tf") {
		t.Errorf("first %v, then %v (%v)", first, second, err)
	}
	if b, err := os.ReadFile(mine); err != nil || string(b) != "# mine\n" {
		t.Errorf("the user's file is %q (%v)", b, err)
	}
}

func TestNoSecretIsRendered(t *testing.T) {
	c, s := valid()
	secret := "c0ffee-secret"
	c.Node.ControlToken, c.Node.AnnounceToken = proa.NewSecret(secret), proa.NewSecret(secret)
	c.Regions.AWS.SecretAccessKey, c.Regions.Azure.CosmosKey = proa.NewSecret(secret), proa.NewSecret(secret)
	dir := t.TempDir()
	names, err := deploy.Render(dir, c, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), secret) {
			t.Errorf("%s holds a secret", name)
		}
	}
}

func TestCheckRefusesWhatACloudWould(t *testing.T) {
	for want, spoil := range map[string]func(*config.Config, *deploy.Settings){
		"--name":                  func(_ *config.Config, s *deploy.Settings) { s.Name = "Orders_1" },
		"--aws-certificate: the":  func(c *config.Config, _ *deploy.Settings) { c.Regions.AWS.Region = "eu-west-1" },
		"--aws-certificate: \"\"": func(_ *config.Config, s *deploy.Settings) { s.AWSCertificate = "" },
		"--azure-subscription":    func(_ *config.Config, s *deploy.Settings) { s.AzureSubscription = "mine" },
		"--azure-certificate":     func(_ *config.Config, s *deploy.Settings) { s.AzureCertificate = "http://x" },
		"--announce-url":          func(_ *config.Config, s *deploy.Settings) { s.AnnounceURL = "http://node/v1/announce" },
		"zone: \"orders.proa.test\"": func(c *config.Config, _ *deploy.Settings) {
			c.Zone = "orders.proa.test"
		},
		"several Cosmos databases": func(c *config.Config, _ *deploy.Settings) {
			other := c.Tables[0]
			other.Name, other.Database = "others", "elsewhere"
			c.Tables = append(c.Tables, other)
		},
		"data sync's own table":          func(c *config.Config, _ *deploy.Settings) { c.Tables[0].Name = "proa_state" },
		"is no name of a DynamoDB table": func(c *config.Config, _ *deploy.Settings) { c.Tables[0].Name = "a b" },
		"is no name of an S3 bucket":     func(c *config.Config, _ *deploy.Settings) { c.Buckets[0].Name = "Receipts" },
		"has a dot":                      func(c *config.Config, _ *deploy.Settings) { c.Buckets[0].Name = "receipts.example" },
		"is no name of a Blob container": func(c *config.Config, _ *deploy.Settings) {
			c.Buckets[0].Container = "a--b"
		},
		"longer than objectives.rto": func(c *config.Config, _ *deploy.Settings) {
			c.Traffic.TTL = config.Duration(2 * c.Objectives.RTO.D())
		},
	} {
		c, s := valid()
		c.Tables, c.Buckets = slices.Clone(c.Tables), slices.Clone(c.Buckets)
		spoil(&c, &s)
		dir := filepath.Join(t.TempDir(), "out")
		_, err := deploy.Render(dir, c, s)
		if !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}
