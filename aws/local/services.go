package local

import (
	"context"
	"errors"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa/aws/local/apigateway"
	"github.com/proa-cloud/proa/aws/local/cloudwatch"
	"github.com/proa-cloud/proa/aws/local/dynamodb"
	"github.com/proa-cloud/proa/aws/local/eventbridge"
	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/s3"
	"github.com/proa-cloud/proa/aws/local/sqs"
	"github.com/proa-cloud/proa/aws/local/sts"
)

// services are the region's services, open.
type services struct {
	cfg       Config
	addresses Addresses

	dynamodb   *dynamodb.Server
	s3         *s3.Server
	lambda     *lambda.Server
	apigateway *apigateway.Server
	cloudwatch *cloudwatch.Server
	events     *eventbridge.Server
	sqs        *sqs.Server
	notices    notices
	sts        *sts.Server
}

// open opens all stores side by side: each start replays a log.
func open(cfg Config, addresses Addresses) (*services, error) {
	s := &services{
		cfg: cfg, addresses: addresses, sts: &sts.Server{AccountID: cfg.AccountID}, notices: newNotices(),
	}
	g, _ := errgroup.WithContext(context.Background())
	g.Go(func() (err error) {
		s.dynamodb, err = dynamodb.New(dynamodb.Config{
			Dir: filepath.Join(cfg.Dir, "dynamodb"), Clock: cfg.Clock, Logger: cfg.Logger,
			AccountID: cfg.AccountID, Region: cfg.Region,
		})
		return err
	})
	g.Go(func() (err error) {
		s.s3, err = s3.New(s3.Config{
			Dir: filepath.Join(cfg.Dir, "s3"), Clock: cfg.Clock, Logger: cfg.Logger,
			AccountID: cfg.AccountID, Region: cfg.Region,
			Notify: s.notices.add, QueueExists: func(arn string) bool { return s.sqs.Exists(arn) },
		})
		return err
	})
	g.Go(func() (err error) {
		s.sqs, err = sqs.New(sqs.Config{
			Dir: filepath.Join(cfg.Dir, "sqs"), Clock: cfg.Clock, Logger: cfg.Logger,
			AccountID: cfg.AccountID, Region: cfg.Region, Endpoint: "http://" + addresses.API,
		})
		return err
	})
	g.Go(func() (err error) {
		s.cloudwatch, err = cloudwatch.New(cloudwatch.Config{
			Dir: filepath.Join(cfg.Dir, "cloudwatch"), Clock: cfg.Clock, Logger: cfg.Logger,
			AccountID: cfg.AccountID, Region: cfg.Region,
		})
		return err
	})
	g.Go(s.openCompute)
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// openCompute opens Lambda and, side by side, what calls it.
func (s *services) openCompute() (err error) {
	cfg := s.cfg
	s.lambda, err = lambda.New(lambda.Config{
		Dir: filepath.Join(cfg.Dir, "lambda"), LogDir: filepath.Join(cfg.Dir, "logs"),
		Clock: cfg.Clock, Logger: cfg.Logger, AccountID: cfg.AccountID, Region: cfg.Region,
		Endpoint:    "http://" + s.addresses.API,
		AccessKeyID: cfg.AccessKeyID, SecretAccessKey: cfg.SecretAccessKey,
		Fetch: s.fetch, Emit: s.emit,
	})
	if err != nil {
		return err
	}
	g, _ := errgroup.WithContext(context.Background())
	g.Go(func() (err error) {
		s.apigateway, err = apigateway.New(apigateway.Config{
			Dir: filepath.Join(cfg.Dir, "apigateway"), Clock: cfg.Clock, Logger: cfg.Logger,
			AccountID: cfg.AccountID, Region: cfg.Region, Endpoint: "http://" + s.addresses.Gateway,
			Functions: invocations{s.lambda, cfg.Telemetry}, Emit: s.emit,
		})
		return err
	})
	g.Go(func() (err error) {
		s.events, err = eventbridge.New(eventbridge.Config{
			Dir: filepath.Join(cfg.Dir, "eventbridge"), Clock: cfg.Clock, Logger: cfg.Logger,
			AccountID: cfg.AccountID, Region: cfg.Region, Functions: s.lambda,
		})
		return err
	})
	return g.Wait()
}

// emit is called only while requests are served, when everything is open.
func (s *services) emit(
	namespace, metric, unit string, value float64, dimensions ...[2]string,
) {
	s.cloudwatch.Observe(namespace, metric, unit, value, dimensions...)
}

// close closes the stores, those that are open, in the reverse order of their use.
func (s *services) close() error {
	var errs []error
	if s.events != nil {
		errs = append(errs, s.events.Close())
	}
	if s.apigateway != nil {
		errs = append(errs, s.apigateway.Close())
	}
	if s.lambda != nil {
		errs = append(errs, s.lambda.Close())
	}
	if s.cloudwatch != nil {
		errs = append(errs, s.cloudwatch.Close())
	}
	if s.sqs != nil {
		errs = append(errs, s.sqs.Close())
	}
	if s.s3 != nil {
		errs = append(errs, s.s3.Close())
	}
	if s.dynamodb != nil {
		errs = append(errs, s.dynamodb.Close())
	}
	return errors.Join(errs...)
}
