package supervisor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/faults"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// The demo's names in both clouds.
const (
	functionName = "orders"
	codeBucket   = "proa-functions"
	// AlarmName and AlertName are the monitors' opinions of their own region.
	AlarmName = "orders-5xx"
	AlertName = "orders-availability"
	// Subscription is the local Azure's only subscription.
	Subscription = "00000000-0000-0000-0000-000000000000"
)

// pack is the demo function's zip.
type pack struct {
	path     string
	identity string // of the executable and the settings; equal identity means that the clouds have it
	fresh    bool   // the clouds do not have it yet
}

// packageFunction writes DIR/orders.zip around the running executable unless that is there already.
func (s *Supervisor) packageFunction() (pack, error) {
	info, err := os.Stat(s.cfg.Executable)
	if err != nil {
		return pack{}, fmt.Errorf("package function: %w", err)
	}
	settings, err := json.Marshal([]any{
		s.cfg.Executable, info.Size(), info.ModTime().UnixNano(), s.functionEnv(proa.AWS), s.functionEnv(proa.Azure),
		s.cfg.Proa.Tables, s.cfg.Proa.Buckets, s.state.Addresses.AWSGateway,
	})
	if err != nil {
		return pack{}, fmt.Errorf("package function: %w", err)
	}
	sum := sha256.Sum256(settings)
	p := pack{path: s.zipPath(), identity: hex.EncodeToString(sum[:])}
	if _, err := os.Stat(p.path); err == nil && s.state.Provisioned == p.identity {
		return p, nil
	}
	p.fresh = true
	tmp := p.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return p, fmt.Errorf("package function: %w", err)
	}
	err = s.cfg.Package(f, s.cfg.Executable)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, p.path)
	}
	if err != nil {
		return p, fmt.Errorf("package function: %w", err)
	}
	return p, nil
}

func (s *Supervisor) zipPath() string { return filepath.Join(s.cfg.Dir, "orders.zip") }

// functionEnv is what the function's author configures in each cloud; credentials of the region come from the cloud itself on AWS
// (the execution role) and from application settings on Azure.
func (s *Supervisor) functionEnv(r proa.Region) map[string]string {
	env := map[string]string{
		"PROA_ANNOUNCE_URL":   s.nodeURLs("/v1/announce"),
		"PROA_LEASE_URL":      s.nodeURLs("/v1/lease"),
		"PROA_FENCED_TABLES":  s.fencedTables(),
		"PROA_ANNOUNCE_TOKEN": s.state.Credentials.AnnounceToken,
		faults.Env:            faults.Path(cloudDir(s.cfg.Dir, r)),
		telemetry.EnvURLs:     strings.Join(s.state.Addresses.NodeURLs(), ","),
		telemetry.EnvToken:    s.state.Credentials.AnnounceToken,
	}
	if r == proa.Azure {
		env["COSMOS_ENDPOINT"] = s.CosmosEndpoint()
		env["COSMOS_KEY"] = s.state.Credentials.CosmosKey
		env["COSMOS_DATABASE"] = s.cfg.Proa.Tables[0].Database
		env["AZURE_STORAGE_CONNECTION_STRING"] = s.state.StorageConnection(s.state.Addresses.Azure)
	}
	return env
}

// fencedTables are those that a function may write under a lease only.
func (s *Supervisor) fencedTables() string {
	var list []string
	for _, t := range s.cfg.Proa.Tables {
		if t.Fenced() {
			list = append(list, t.Name)
		}
	}
	return strings.Join(list, ",")
}

// nodeURLs are a path of every node, so that each is told and any may be asked.
func (s *Supervisor) nodeURLs(path string) string {
	var list []string
	for _, n := range s.state.Addresses.Nodes {
		list = append(list, "http://"+n.Control+path)
	}
	return strings.Join(list, ",")
}

// CosmosEndpoint is the account's URL.
func (s *Supervisor) CosmosEndpoint() string { return "http://" + s.state.Addresses.Azure + "/" }

// StorageConnection is the storage account's connection string for tools that reach it at addr.
func (s State) StorageConnection(addr string) string {
	account := s.Credentials.StorageAccount
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;"+
		"BlobEndpoint=http://%s/%s;QueueEndpoint=http://%s/queue/%s;",
		account, s.Credentials.StorageKey, addr, account, addr, account)
}

// writeConfigs writes the node's proa.yaml and the local Azure's file.
func (s *Supervisor) writeConfigs() error {
	if err := s.writeNodeConfigs(); err != nil {
		return err
	}
	return s.writeAzureFile()
}

func (s *Supervisor) nodeConfig() config.Config {
	c, a, k := s.cfg.Proa, s.state.Addresses, s.state.Credentials
	c.Health.AllowLoopback = true // the clouds are on this machine
	c.Node.ControlToken = proa.NewSecret(k.NodeToken)
	c.Node.AnnounceToken = proa.NewSecret(k.AnnounceToken)
	c.Node.Console, c.Node.Supervisor, c.Node.SupervisorToken = a.Console, a.Control, proa.NewSecret(s.state.Token)
	aws := &c.Regions.AWS
	aws.Endpoint, aws.MonitorEndpoint = "http://"+a.AWSProxy, "http://"+a.AWS
	aws.AccessKeyID, aws.SecretAccessKey = k.AWSAccessKeyID, proa.NewSecret(k.AWSSecretAccessKey)
	aws.Alarm = AlarmName
	aws.Gateway.Addresses, aws.Gateway.URL = []string{host(a.AWSGateway)}, "http://"+a.AWSGateway
	azure := &c.Regions.Azure
	azure.CosmosEndpoint, azure.CosmosKey = "http://"+a.AzureProxy+"/", proa.NewSecret(k.CosmosKey)
	azure.StorageConnection = proa.NewSecret(s.state.StorageConnection(a.AzureProxy))
	azure.MonitorEndpoint, azure.MonitorToken = "http://"+a.Azure, proa.NewSecret(k.MonitorToken)
	azure.Subscription, azure.Alert = Subscription, AlertName
	azure.Gateway.Addresses, azure.Gateway.URL = []string{host(a.AzureGateway)}, "http://"+a.AzureGateway
	return c
}

func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return h
}

// waitServing polls the region's health route through its gateway and function until it answers 200.
func (s *Supervisor) waitServing(ctx context.Context, r proa.Region) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + s.state.Addresses.Gateway(r) + "/healthz"
	last := "no answer"
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", r, err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			last = resp.Status
		} else {
			last = err.Error()
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return &proa.Error{Op: "wait until the function serves", Region: r, Err: fmt.Errorf("GET %s: %s", url, last), Hint: "see logs/cloud-" + string(r) + ".log"}
}
