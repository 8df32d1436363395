package node

import (
	"context"
	"fmt"
	"net/url"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/config"
)

func netURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w: %w", proa.ErrInvalidConfig, err)
	}
	return u, nil
}

func awsConfig(c config.Config) aws.Config {
	r := c.Regions.AWS
	return aws.Config{Endpoint: r.Endpoint, Region: r.Region, AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey}
}

func azureConfig(c config.Config) azure.Config {
	r := c.Regions.Azure
	return azure.Config{
		CosmosEndpoint: r.CosmosEndpoint, CosmosKey: r.CosmosKey, StorageConnection: r.StorageConnection,
		MonitorEndpoint: r.MonitorEndpoint, MonitorToken: r.MonitorToken,
	}
}

// newMonitor opens the region's own monitoring; nil where none is configured. The name is the picture's.
func newMonitor(ctx context.Context, c config.Config, r proa.Region) (cloud.Monitor, string, error) {
	switch {
	case r == proa.AWS && c.Regions.AWS.Alarm != "":
		cfg := awsConfig(c)
		if c.Regions.AWS.MonitorEndpoint != "" {
			cfg.Endpoint = c.Regions.AWS.MonitorEndpoint
		}
		m, err := aws.NewMonitor(ctx, cfg, c.Regions.AWS.Alarm)
		return m, "cloudwatch", err
	case r == proa.Azure && c.Regions.Azure.Alert != "":
		m, err := azure.NewMonitor(azureConfig(c), c.Regions.Azure.Subscription, c.Regions.Azure.Alert)
		return m, "monitor", err
	}
	return nil, "", nil
}
