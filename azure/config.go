package azure

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/proa-cloud/proa"
)

// Config says which Azure a driver talks to. Each constructor says which of its fields it needs.
type Config struct {
	// CosmosEndpoint is the account's URL, CosmosKey its key; without a key, Credential authenticates.
	CosmosEndpoint string
	CosmosKey      proa.Secret
	// Database holds the containers of all tables; "" is "proa".
	Database string
	// StorageConnection is the storage account's connection string; without one, StorageEndpoint and Credential are used.
	StorageConnection proa.Secret
	StorageEndpoint   string
	// MonitorEndpoint is the management endpoint; "" is https://management.azure.com.
	MonitorEndpoint string
	// MonitorToken is a bearer token for it; without one, Credential is asked for one.
	MonitorToken proa.Secret
	// Credential is the identity to use where there is no key; nil is azidentity's default chain: the environment, a
	// federated token, a managed identity, the Azure CLI.
	Credential azcore.TokenCredential
	// Timeout bounds one call, retries included; 0 is 5 s. A transfer of an object is bounded by its progress instead: it fails
	// when no byte moved for that long.
	Timeout time.Duration
	// Attempts is how often one call is tried at most; 0 is 3.
	Attempts int
	// HTTPClient replaces the default client.
	HTTPClient *http.Client
	// ExpiryAttribute names the attribute that holds when an item expires, in seconds since 1970 as DynamoDB's time-to-live has it; what
	// is written then carries Cosmos's own ttl, which counts from the write. "": none. The container must allow it (DefaultTimeToLive).
	ExpiryAttribute string
	// Meter adds up the request units that Cosmos DB charges; nil for none.
	Meter *Meter
	// Logger gets what has no caller to be returned to; nil discards it.
	Logger *slog.Logger
}

const (
	defaultTimeout  = 5 * time.Second
	defaultAttempts = 3
	dialTimeout     = 2 * time.Second
	defaultDatabase = "proa"
)

func (c Config) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }

// identity is who calls where there is no key. It makes no call.
func (c Config) identity() (azcore.TokenCredential, error) {
	if c.Credential != nil {
		return c.Credential, nil
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: c.options()})
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

func (c Config) client() *http.Client {
	if c.HTTPClient != nil {
		return c.HTTPClient
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          256,
			MaxIdleConnsPerHost:   128,
			IdleConnTimeout:       60 * time.Second,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: max(c.timeout(), defaultTimeout),
			ExpectContinueTimeout: time.Second,
		},
	}
}

// options bounds attempts and back-off; azcore's default waits up to 60 s between two attempts.
func (c Config) options() azcore.ClientOptions {
	return azcore.ClientOptions{
		Transport: c.client(),
		Retry: policy.RetryOptions{
			MaxRetries:    int32(cmp.Or(c.Attempts, defaultAttempts)) - 1,
			RetryDelay:    50 * time.Millisecond,
			MaxRetryDelay: 500 * time.Millisecond,
		},
		InsecureAllowCredentialWithHTTP: isLoopback(c.CosmosEndpoint) && isLoopback(c.MonitorEndpoint),
	}
}
