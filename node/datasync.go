package node

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/traffic"
)

// newDataSync opens both sides of every table and bucket. It calls no cloud.
func newDataSync(ctx context.Context, c Config, db *pebble.DB) (*datasync.Service, error) {
	cfg := datasync.Default()
	cfg.DB, cfg.Clock, cfg.Logger = db, c.Clock, c.Logger
	a, z := awsConfig(c.Proa), azureConfig(c.Proa)
	a.Logger, z.Logger = c.Logger, c.Logger
	z.Meter = &azure.Meter{}
	cfg.RequestUnits = z.Meter.RequestUnits
	cfg.Node, cfg.Shared = c.Proa.Node.Name, len(c.Proa.Cluster.Nodes) > 0
	limits(&cfg, c.Proa.DataSync)
	for _, t := range c.Proa.Tables {
		table, err := newTable(ctx, a, z, t, c.Proa.DataSync.ResidencyKey)
		if err != nil {
			return nil, err
		}
		if !table.Residency.Copies() {
			c.Logger.Info("table is not replicated: it may not leave its region", "table", t.Name)
			continue
		}
		c.picture.countTable(&table, c.Clock)
		cfg.Tables = append(cfg.Tables, table)
	}
	var err error
	if cfg.Subscribers, err = subscribers(ctx, c, a, z); err != nil {
		return nil, err
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
		bucket := objects.Bucket{Name: b.Name, HoldObjects: b.HoldObjects, HoldPercent: b.HoldPercent}
		if bucket.Events, err = notices(ctx, a, z, b); err != nil {
			return nil, err
		}
		bucket.Versions = map[proa.Region]objects.Versions{proa.AWS: s3, proa.Azure: blob}
		c.picture.countBucket(&bucket, s3, blob)
		cfg.Buckets = append(cfg.Buckets, bucket)
	}
	if err := sidecars(ctx, &cfg, c.Proa, a, z); err != nil {
		return nil, err
	}
	return datasync.New(cfg)
}

// notices opens the queues of a bucket's notices; nil where it has none.
func notices(
	ctx context.Context, a aws.Config, z azure.Config, b config.Bucket,
) (map[proa.Region]cloud.ObjectEvents, error) {
	if b.Notices == "" {
		return nil, nil //nolint:nilnil // no queues, and no failure
	}
	s3, err := aws.NewNotices(ctx, a, b.Name, b.Notices)
	if err != nil {
		return nil, err
	}
	blob, err := azure.NewNotices(z, b.Container, b.Notices)
	if err != nil {
		return nil, err
	}
	return map[proa.Region]cloud.ObjectEvents{proa.AWS: s3, proa.Azure: blob}, nil
}

// limits takes over what bounds data sync.
func limits(cfg *datasync.Config, d config.DataSync) {
	const mb = 1 << 20
	cfg.Limits.JournalAge, cfg.Limits.JournalBytes = d.JournalAge.D(), int64(d.JournalMB)*mb
	cfg.Limits.LogAge, cfg.Limits.LogBytes = d.LogAge.D(), int64(d.LogMB)*mb
	cfg.FullScan = d.FullScan.D()
	cfg.Budget = datasync.Budget{
		Writes: int64(d.Budget.WritesPerHour), RequestUnits: int64(d.Budget.RequestUnitsPerHour),
		EgressBytes: int64(d.Budget.EgressMBPerHour) * mb,
	}
}

// newTable opens both sides of a table under its rules.
func newTable(
	ctx context.Context, a aws.Config, z azure.Config, t config.Table, key proa.Secret,
) (datasync.Table, error) {
	z.Database, z.ExpiryAttribute = t.Database, t.TTL.Attribute
	table := datasync.Table{Schema: t.Schema(), Rules: resolve.DefaultRules(t.Schema())}
	var err error
	if table.Rules.Policy, err = t.ConflictPolicy(); err != nil {
		return table, err
	}
	for _, r := range proa.Regions() {
		table.Rules.Expiry.Ignore[resolve.Index(r)] = t.TTL.IgnoresExpiry(r)
	}
	if table.Residency, err = t.ResidencyRules(key); err != nil {
		return table, err
	}
	table.Sides, err = tableSides(ctx, a, z, t.Schema())
	return table, err
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

// ownReplication says how far data sync has come in each direction, by this node's knowledge.
func (n *node) ownReplication() []traffic.Replication {
	var list []traffic.Replication
	for _, r := range proa.Regions() {
		state := traffic.Replication{From: r}
		d, err := n.sync.Replication(r)
		if err != nil {
			state.Reason = err.Error()
		} else {
			state.Known, state.Lag, state.Backlog = d.Known, d.Lag, int64(d.Backlog)
			state.CaughtUp, state.Reason, state.Through = !d.Scanning, d.Error, d.Through
		}
		list = append(list, state)
	}
	return list
}
