// Package provision gives an AWS account the demo application through the vendor's own APIs: tables with streams, buckets, the function,
// its HTTP API and an alarm. Every step is idempotent: what exists stays, what differs is brought up to date.
package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
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
		StreamSpecification: &ddbtypes.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages,
		},
	})
	var exists *ddbtypes.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s: %w", schema.Table, err)
	}
	return nil
}

func (p *provisioner) s3() *s3.Client {
	return s3.NewFromConfig(p.cfg, func(o *s3.Options) { o.UsePathStyle = p.spec.Endpoint != "" })
}

func (p *provisioner) bucket(ctx context.Context, name string, versioned bool) error {
	client := p.s3()
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
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

// api creates the HTTP API with its routes, and the alarm on it.
func (p *provisioner) api(ctx context.Context) error {
	client := apigatewayv2.NewFromConfig(p.cfg)
	id, err := p.findAPI(ctx, client)
	if err != nil {
		return fmt.Errorf("create API: %w", err)
	}
	if id == "" {
		if id, err = p.createAPI(ctx, client); err != nil {
			return fmt.Errorf("create API: %w", err)
		}
	}
	if p.spec.Alarm == "" {
		return nil
	}
	return p.alarm(ctx, id)
}

func (p *provisioner) findAPI(ctx context.Context, client *apigatewayv2.Client) (string, error) {
	out, err := client.GetApis(ctx, &apigatewayv2.GetApisInput{})
	if err != nil {
		return "", err
	}
	for _, a := range out.Items {
		if aws.ToString(a.Name) == p.spec.Function {
			return aws.ToString(a.ApiId), nil
		}
	}
	return "", nil
}

func (p *provisioner) createAPI(ctx context.Context, client *apigatewayv2.Client) (string, error) {
	created, err := client.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &p.spec.Function, ProtocolType: apitypes.ProtocolTypeHttp})
	if err != nil {
		return "", err
	}
	integration, err := client.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId:                created.ApiId,
		IntegrationType:      apitypes.IntegrationTypeAwsProxy,
		IntegrationUri:       aws.String(p.functionARN()),
		PayloadFormatVersion: aws.String("2.0"),
		TimeoutInMillis:      aws.Int32(15000),
	})
	if err != nil {
		return "", err
	}
	for _, route := range p.spec.Routes {
		_, err := client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
			ApiId: created.ApiId, RouteKey: &route, Target: aws.String("integrations/" + aws.ToString(integration.IntegrationId)),
		})
		if err != nil {
			return "", fmt.Errorf("route %s: %w", route, err)
		}
	}
	_, err = client.CreateStage(ctx, &apigatewayv2.CreateStageInput{
		ApiId: created.ApiId, StageName: aws.String("$default"), AutoDeploy: aws.Bool(true),
	})
	if err != nil {
		return "", err
	}
	_, err = lambda.NewFromConfig(p.cfg).AddPermission(ctx, &lambda.AddPermissionInput{
		FunctionName: &p.spec.Function,
		StatementId:  aws.String("gateway-" + aws.ToString(created.ApiId)),
		Action:       aws.String("lambda:InvokeFunction"),
		Principal:    aws.String("apigateway.amazonaws.com"),
	})
	return aws.ToString(created.ApiId), err
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
