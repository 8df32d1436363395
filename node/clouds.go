package node

import (
	"fmt"
	"net/url"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
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
		StorageEndpoint: r.StorageEndpoint,
		MonitorEndpoint: r.MonitorEndpoint, MonitorToken: r.MonitorToken,
	}
}
