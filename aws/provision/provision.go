// Package provision gives an AWS account the demo application through the vendor's own APIs: tables with streams, buckets, the function,
// its HTTP API and an alarm. Every step is idempotent: what exists stays, what differs is brought up to date.
package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
)

// Spec is what the account shall hold.
type Spec struct {
	Endpoint        string // of every service; "" means the vendor's
	Region          string
	AccountID       string
	AccessKeyID     string
	SecretAccessKey string

	Tables     []proa.Schema
	Buckets    []string // versioned
	CodeBucket string
	CodePath   string // the function's zip on this machine
	Function   string
	Env        map[string]string
	Routes     []string // "GET /healthz"
	Alarm      string   // on the API's rate of 5xx answers
}

// Apply brings the account to the Spec. Independent steps run side by side.
func Apply(ctx context.Context, s Spec) error {
	p := &provisioner{spec: s, cfg: aws.Config{
		Region:      s.Region,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, ""),
	}}
	if s.Endpoint != "" {
		p.cfg.BaseEndpoint = aws.String(s.Endpoint)
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, table := range s.Tables {
		g.Go(func() error { return p.table(gctx, table) })
	}
	for _, bucket := range s.Buckets {
		g.Go(func() error { return p.bucket(gctx, bucket, true) })
	}
	g.Go(func() error {
		if err := p.function(gctx); err != nil {
			return err
		}
		return p.api(gctx)
	})
	return g.Wait()
}

type provisioner struct {
	spec Spec
	cfg  aws.Config
}

func (p *provisioner) table(ctx context.Context, schema proa.Schema) error {
	keys := []ddbtypes.KeySchemaElement{{AttributeName: &schema.HashName, KeyType: ddbtypes.KeyTypeHash}}
	attributes := []ddbtypes.AttributeDefinition{{
		AttributeName: &schema.HashName, AttributeType: ddbtypes.ScalarAttributeType(schema.HashKind.String()),
	}}
	if schema.RangeName != "" {
		keys = append(keys, ddbtypes.KeySchemaElement{AttributeName: &schema.RangeName, KeyType: ddbtypes.KeyTypeRange})
		attributes = append(attributes, ddbtypes.AttributeDefinition{
			AttributeName: &schema.RangeName, AttributeType: ddbtypes.ScalarAttributeType(schema.RangeKind.String()),
		})
	}
	_, err := dynamodb.NewFromConfig(p.cfg).CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            &schema.Table,
		KeySchema:            keys,
		AttributeDefinitions: attributes,
		BillingMode:          ddbtypes.BillingModePayPerRequest,
		StreamSpecification:  streamOfBoth(),
	})
	var exists *ddbtypes.ResourceInUseException
	if errors.As(err, &exists) {
		err = p.checkTable(ctx, schema, keys)
	}
	if err != nil {
		return fmt.Errorf("create table %s: %w", schema.Table, err)
	}
	return nil
}

// checkTable looks at a table that was there before. A stream is added to it; other keys or another
// kind of stream are somebody's to decide.
func (p *provisioner) checkTable(ctx context.Context, schema proa.Schema, keys []ddbtypes.KeySchemaElement) error {
	client := dynamodb.NewFromConfig(p.cfg)
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &schema.Table})
	if err != nil {
		return err
	}
	if have, want := keyNames(out.Table.KeySchema), keyNames(keys); have != want {
		return fmt.Errorf("it exists with the key %s, not %s: name another table: %w", have, want, proa.ErrConflict)
	}
	stream := out.Table.StreamSpecification
	if stream != nil && aws.ToBool(stream.StreamEnabled) {
		if stream.StreamViewType != ddbtypes.StreamViewTypeNewAndOldImages {
			return fmt.Errorf("it exists with a stream of %s; replication needs %s: disable the stream first: %w",
				stream.StreamViewType, ddbtypes.StreamViewTypeNewAndOldImages, proa.ErrConflict)
		}
		return nil
	}
	_, err = client.UpdateTable(ctx, &dynamodb.UpdateTableInput{
		TableName: &schema.Table, StreamSpecification: streamOfBoth(),
	})
	return err
}

func streamOfBoth() *ddbtypes.StreamSpecification {
	return &ddbtypes.StreamSpecification{
		StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages,
	}
}

func keyNames(keys []ddbtypes.KeySchemaElement) string {
	var names []string
	for _, k := range keys {
		names = append(names, aws.ToString(k.AttributeName)+" "+string(k.KeyType))
	}
	return strings.Join(names, ", ")
}

func (p *provisioner) s3() *s3.Client {
	return s3.NewFromConfig(p.cfg, func(o *s3.Options) { o.UsePathStyle = p.spec.Endpoint != "" })
}

func (p *provisioner) bucket(ctx context.Context, name string, versioned bool) error {
	client := p.s3()
	in := &s3.CreateBucketInput{Bucket: &name}
	if p.spec.Region != "us-east-1" { // which has no constraint of its own
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{
			LocationConstraint: s3types.BucketLocationConstraint(p.spec.Region),
		}
	}
	_, err := client.CreateBucket(ctx, in)
	var owned *s3types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	if !versioned {
		return nil
	}
	_, err = client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket:                  &name,
		VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		return fmt.Errorf("version bucket %s: %w", name, err)
	}
	return nil
}

func (p *provisioner) functionARN() string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", p.spec.Region, p.spec.AccountID, p.spec.Function)
}

// function uploads the code through S3, since packages over 50 MB cannot be sent directly, and creates or updates the function.
func (p *provisioner) function(ctx context.Context) error {
	if err := p.bucket(ctx, p.spec.CodeBucket, false); err != nil {
		return err
	}
	code, err := os.Open(p.spec.CodePath)
	if err != nil {
		return fmt.Errorf("upload code: %w", err)
	}
	defer code.Close()
	key := p.spec.Function + ".zip"
	if _, err := p.s3().PutObject(ctx, &s3.PutObjectInput{Bucket: &p.spec.CodeBucket, Key: &key, Body: code}); err != nil {
		return fmt.Errorf("upload code: %w", err)
	}
	client := lambda.NewFromConfig(p.cfg)
	_, err = client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &p.spec.Function,
		Role:         aws.String(fmt.Sprintf("arn:aws:iam::%s:role/%s", p.spec.AccountID, p.spec.Function)),
		Runtime:      lambdatypes.RuntimeProvidedal2023,
		Handler:      aws.String("bootstrap"),
		Timeout:      aws.Int32(15),
		MemorySize:   aws.Int32(256),
		Environment:  &lambdatypes.Environment{Variables: p.spec.Env},
		Code:         &lambdatypes.FunctionCode{S3Bucket: &p.spec.CodeBucket, S3Key: &key},
	})
	var exists *lambdatypes.ResourceConflictException
	if errors.As(err, &exists) {
		err = p.updateFunction(ctx, client, key)
	}
	if err != nil {
		return fmt.Errorf("create function %s: %w", p.spec.Function, err)
	}
	waiter := lambda.NewFunctionActiveV2Waiter(client, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 100*time.Millisecond
	})
	if err := waiter.Wait(ctx, &lambda.GetFunctionInput{FunctionName: &p.spec.Function}, 30*time.Second); err != nil {
		return fmt.Errorf("wait for function %s: %w", p.spec.Function, err)
	}
	return nil
}

func (p *provisioner) updateFunction(ctx context.Context, client *lambda.Client, key string) error {
	_, err := client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
		FunctionName: &p.spec.Function, S3Bucket: &p.spec.CodeBucket, S3Key: &key,
	})
	if err != nil {
		return err
	}
	waiter := lambda.NewFunctionUpdatedV2Waiter(client, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 100*time.Millisecond
	})
	if err := waiter.Wait(ctx, &lambda.GetFunctionInput{FunctionName: &p.spec.Function}, 30*time.Second); err != nil {
		return err
	}
	_, err = client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: &p.spec.Function, Environment: &lambdatypes.Environment{Variables: p.spec.Env},
	})
	return err
}

func (p *provisioner) alarm(ctx context.Context, api string) error {
	_, err := cloudwatch.NewFromConfig(p.cfg).PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{
		AlarmName:          &p.spec.Alarm,
		AlarmDescription:   aws.String("More than half of the answers of the last ten seconds were 5xx."),
		Namespace:          aws.String("AWS/ApiGateway"),
		MetricName:         aws.String("5xx"),
		Dimensions:         []cwtypes.Dimension{{Name: aws.String("ApiId"), Value: &api}},
		Statistic:          cwtypes.StatisticAverage,
		Period:             aws.Int32(10),
		EvaluationPeriods:  aws.Int32(1),
		Threshold:          aws.Float64(0.5),
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold,
		TreatMissingData:   aws.String("notBreaching"),
	})
	if err != nil {
		return fmt.Errorf("create alarm %s: %w", p.spec.Alarm, err)
	}
	return nil
}
