package supervisor

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/aws/provision"
	"github.com/proa-cloud/proa/azure"
	azurelocal "github.com/proa-cloud/proa/azure/local"
	"github.com/proa-cloud/proa/datasync/sidecar"
)

// AccountID is the local AWS's only account.
const AccountID = "000000000000"

// provisionAWS gives the local AWS the demo application through its own APIs, unless it has it already.
func (s *Supervisor) provisionAWS(ctx context.Context, zip pack) error {
	if zip.fresh {
		spec := provision.Spec{
			Endpoint: "http://" + s.state.Addresses.AWS, Region: s.cfg.Proa.Regions.AWS.Region, AccountID: AccountID,
			AccessKeyID: s.state.Credentials.AWSAccessKeyID, SecretAccessKey: s.state.Credentials.AWSSecretAccessKey,
			CodeBucket: codeBucket, CodePath: zip.path, Function: functionName, Env: s.functionEnv(proa.AWS),
			Routes: []string{"ANY /orders", "ANY /orders/{proxy+}", "GET /healthz"}, Alarm: AlarmName,
		}
		for _, t := range s.cfg.Proa.Tables {
			spec.Tables = append(spec.Tables, t.Schema())
		}
		spec.Tables = append(spec.Tables, sidecar.Schema())
		for _, b := range s.cfg.Proa.Buckets {
			spec.Buckets = append(spec.Buckets, b.Name)
		}
		if err := provision.Apply(ctx, spec); err != nil {
			return &proa.Error{Op: "provision", Region: proa.AWS, Err: err, Hint: "see logs/cloud-aws.log"}
		}
		if err := s.subscribe(ctx); err != nil {
			return &proa.Error{Op: "provision", Region: proa.AWS, Err: err, Hint: "see logs/cloud-aws.log"}
		}
	}
	return s.waitServing(ctx, proa.AWS)
}

// subscribe has the local S3 put its notices into queues.
func (s *Supervisor) subscribe(ctx context.Context) error {
	c := aws.Config{
		Endpoint: "http://" + s.state.Addresses.AWS, Region: s.cfg.Proa.Regions.AWS.Region,
		AccessKeyID:     s.state.Credentials.AWSAccessKeyID,
		SecretAccessKey: proa.NewSecret(s.state.Credentials.AWSSecretAccessKey),
	}
	for _, b := range s.cfg.Proa.Buckets {
		if b.Notices == "" {
			continue
		}
		bucket, err := aws.NewBucket(ctx, c, b.Name)
		if err != nil {
			return err
		}
		notices, err := aws.NewNotices(ctx, c, b.Name, b.Notices)
		if err != nil {
			return err
		}
		if err := notices.Subscribe(ctx, bucket); err != nil {
			return err
		}
	}
	return nil
}

// writeAzureFile says what the local Azure holds; its management plane is that file.
func (s *Supervisor) writeAzureFile() error {
	file := azurelocal.File{
		FunctionApps: []azurelocal.FunctionApp{{Name: functionName, Package: s.zipPath(), Settings: s.functionEnv(proa.Azure)}},
		APIs: []azurelocal.API{{
			Name: functionName, FunctionApp: functionName, Timeout: 15 * time.Second,
			Operations: []azurelocal.Operation{
				{Method: "*", URLTemplate: "/orders"}, {Method: "*", URLTemplate: "/orders/*"}, {Method: "GET", URLTemplate: "/healthz"},
			},
		}},
		AvailabilityTests: []azurelocal.AvailabilityTest{{
			Name: AlertName, URL: "http://" + s.state.Addresses.AzureGateway + "/healthz",
			Every: 5 * time.Second, Timeout: 2 * time.Second, Failures: 2, Successes: 1,
		}},
	}
	byName := map[string]int{}
	container := func(database string, schema proa.Schema) {
		i, ok := byName[database]
		if !ok {
			i = len(file.Databases)
			byName[database] = i
			file.Databases = append(file.Databases, azurelocal.Database{Name: database})
		}
		c := azurelocal.CosmosContainer{Name: schema.Table, PartitionKey: []string{azure.PartitionKeyPath(schema)}}
		file.Databases[i].Containers = append(file.Databases[i].Containers, c)
	}
	for _, t := range s.cfg.Proa.Tables {
		container(t.Database, t.Schema())
	}
	container(sidecar.Database, sidecar.Schema())
	for _, b := range s.cfg.Proa.Buckets {
		file.BlobContainers = append(file.BlobContainers, b.Container)
		if b.Notices != "" {
			file.EventSubscriptions = append(file.EventSubscriptions,
				azurelocal.EventSubscription{Container: b.Container, Queue: b.Notices})
		}
	}
	if err := file.Write(filepath.Join(cloudDir(s.cfg.Dir, proa.Azure), azurelocal.FileName)); err != nil {
		return fmt.Errorf("write the local Azure's file: %w", err)
	}
	return nil
}
