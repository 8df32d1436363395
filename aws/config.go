package aws

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/proa-cloud/proa"
)

// Config says which AWS a driver talks to. The zero Config is the real cloud with the SDK's default credential chain and region.
type Config struct {
	// Endpoint is one base URL for every service; "" is the real cloud (or what AWS_ENDPOINT_URL names).
	Endpoint string
	// Region is the AWS region, such as "eu-central-1"; "" asks the SDK's chain.
	Region string
	// AccessKeyID and SecretAccessKey are static credentials; both empty ask the SDK's chain.
	AccessKeyID     string
	SecretAccessKey proa.Secret
	// Timeout bounds one call, retries included; 0 is 5 s. A transfer of an object is bounded by its progress instead: it fails
	// when no byte moved for that long.
	Timeout time.Duration
	// Attempts is how often one call is tried at most; 0 is 3.
	Attempts int
	// FeedInterval is the least time between two reads of one stream shard; 0 is 200 ms against the real cloud, which allows
	// five reads a second and shard, and 5 ms against an Endpoint.
	FeedInterval time.Duration
	// HTTPClient replaces the default client, which also honours AWS_CA_BUNDLE.
	HTTPClient *http.Client
	// Logger gets what has no caller to be returned to; nil discards it.
	Logger *slog.Logger
}

const (
	defaultTimeout  = 5 * time.Second
	defaultAttempts = 3
	dialTimeout     = 2 * time.Second
)

func (c Config) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

func (c Config) feedInterval() time.Duration {
	switch {
	case c.FeedInterval > 0:
		return c.FeedInterval
	case c.Endpoint == "":
		return 200 * time.Millisecond
	}
	return 5 * time.Millisecond
}

// load resolves region and credentials. Only the default chain may touch the disk or the network.
func (c Config) load(ctx context.Context) (sdk.Config, error) {
	if c.AccessKeyID != "" {
		return c.static(), nil
	}
	loaded, err := config.LoadDefaultConfig(ctx, func(o *config.LoadOptions) error {
		o.Region = c.Region
		o.HTTPClient = c.httpClient()
		o.BaseEndpoint = c.Endpoint
		o.Retryer = c.retryer
		return nil
	})
	if err != nil {
		return loaded, &proa.Error{
			Op: "load configuration", Region: proa.AWS, Err: fmt.Errorf("%w: %w", proa.ErrInvalidConfig, err),
		}
	}
	return loaded, nil
}

func (c Config) static() sdk.Config {
	cfg := sdk.Config{
		Region:      cmp.Or(c.Region, "us-east-1"),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey.Reveal(), ""),
		HTTPClient:  c.httpClient(),
		Retryer:     c.retryer,
	}
	if c.Endpoint != "" {
		cfg.BaseEndpoint = sdk.String(c.Endpoint)
	}
	return cfg
}

// retryer bounds attempts and back-off; the SDK's default waits up to 20 s between two attempts.
func (c Config) retryer() sdk.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cmp.Or(c.Attempts, defaultAttempts)
		o.MaxBackoff = 500 * time.Millisecond
	})
}

// httpClient is the SDK's buildable client, since a plain one makes the configuration fail where AWS_CA_BUNDLE is set.
func (c Config) httpClient() sdk.HTTPClient {
	if c.HTTPClient != nil {
		return c.HTTPClient
	}
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) {
			d.Timeout, d.KeepAlive = dialTimeout, 15*time.Second
		}).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 128
			t.IdleConnTimeout = 60 * time.Second
			t.TLSHandshakeTimeout = dialTimeout
			t.ResponseHeaderTimeout = max(c.timeout(), defaultTimeout)
		})
}
