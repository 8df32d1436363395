package node

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/traffic"
)

// newDataSync opens both sides of every table and bucket. It calls no cloud.
func newDataSync(ctx context.Context, c Config, db *pebble.DB) (*datasync.Service, error) {
	cfg := datasync.Default()
	cfg.DB, cfg.Clock, cfg.Logger = db, c.Clock, c.Logger
	a, z := awsConfig(c.Proa), azureConfig(c.Proa)
	a.Logger, z.Logger = c.Logger, c.Logger
	for _, t := range c.Proa.Tables {
		z.Database = t.Database
		sides, err := tableSides(ctx, a, z, t.Schema())
		if err != nil {
			return nil, err
		}
		cfg.Tables = append(cfg.Tables, datasync.Table{Schema: t.Schema(), Sides: sides})
	}
	for _, b := range c.Proa.Buckets {
		s3, err := aws.NewBucket(ctx, a, b.Name)
		if err != nil {
			return nil, err
		}
		blob, err := azure.NewBucket(z, b.Container)
		if err != nil {
			return nil, err
		}
		cfg.Buckets = append(cfg.Buckets, objects.Bucket{Name: b.Name, Sides: map[proa.Region]cloud.Bucket{proa.AWS: s3, proa.Azure: blob}})
	}
	return datasync.New(cfg)
}

func tableSides(ctx context.Context, a aws.Config, z azure.Config, schema proa.Schema) (map[proa.Region]datasync.TableSide, error) {
	dynamo, err := aws.NewTable(ctx, a, schema)
	if err != nil {
		return nil, err
	}
	stream, err := aws.NewFeed(ctx, a, schema)
	if err != nil {
		return nil, err
	}
	cosmos, err := azure.NewTable(z, schema)
	if err != nil {
		return nil, err
	}
	feed, err := azure.NewFeed(z, schema)
	if err != nil {
		return nil, err
	}
	return map[proa.Region]datasync.TableSide{
		proa.AWS:   {Table: dynamo, Feed: stream},
		proa.Azure: {Table: cosmos, Feed: feed},
	}, nil
}

// replication tells the traffic controller how far data sync has come in each direction.
func (n *node) replication() []traffic.Replication {
	var list []traffic.Replication
	for _, r := range proa.Regions() {
		state := traffic.Replication{From: r}
		d, err := n.sync.Replication(r)
		if err != nil {
			state.Reason = err.Error()
		} else {
			state.Known, state.Lag, state.Backlog = d.Known, d.Lag, int64(d.Backlog)
			state.CaughtUp, state.Reason = !d.Scanning, d.Error
		}
		list = append(list, state)
	}
	return list
}
