package node

import (
	"context"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/sidecar"
)

// sidecars gives data sync each region's table for what must outlive the owner's disk. Deployments that share a table are told apart by
// their zones.
func sidecars(ctx context.Context, cfg *datasync.Config, c config.Config, a aws.Config, z azure.Config) error {
	z.Database = sidecar.Database
	dynamo, err := aws.NewTable(ctx, a, sidecar.Schema())
	if err != nil {
		return err
	}
	cosmos, err := azure.NewTable(z, sidecar.Schema())
	if err != nil {
		return err
	}
	cfg.Node, cfg.Deployment = c.Node.Name, c.Zone
	cfg.Sidecars = map[proa.Region]cloud.Table{proa.AWS: dynamo, proa.Azure: cosmos}
	return nil
}
