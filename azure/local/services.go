package local

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa/azure/local/apim"
	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/azure/local/blob"
	"github.com/proa-cloud/proa/azure/local/cosmos"
	"github.com/proa-cloud/proa/azure/local/functions"
	"github.com/proa-cloud/proa/azure/local/monitor"
	"github.com/proa-cloud/proa/azure/local/queue"
	"github.com/proa-cloud/proa/internal/faults"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// services are the parts of the cloud, opened and wired but not running.
type services struct {
	dir       string
	clock     func() time.Time
	logger    *slog.Logger
	ready     func(Addresses)
	faults    *faults.Source
	telemetry *telemetry.Recorder
	verifier  *auth.Verifier
	cosmos    *cosmos.Server
	blob      *blob.Server
	queue     *queue.Server
	notices   *notices
	functions *functions.Host
	gateway   *apim.Gateway
	monitor   *monitor.Server
	apps      []functions.App // in force; only apply changes them, which one goroutine at a time calls
}

// open opens every store, at the same time: most of a start is waiting for the disk.
func open(c Config) (*services, error) {
	s := &services{
		notices: newNotices(c.Account),
		dir:     c.Dir, clock: c.Clock, logger: c.Logger, ready: c.Ready, faults: c.Faults, telemetry: c.Telemetry,
	}
	var err error
	s.verifier, err = auth.New(auth.Config{
		Account: c.Account, Clock: c.Clock, CosmosResource: cosmos.ResourceOf,
		CosmosKey: c.CosmosKey.Reveal(), CosmosReadKey: c.CosmosReadKey.Reveal(),
		StorageKey: c.StorageKey.Reveal(), MonitorToken: c.MonitorToken.Reveal(),
	})
	if err != nil {
		return nil, err
	}
	file, err := ReadFile(filepath.Join(c.Dir, FileName))
	if err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.Go(func() (err error) {
		s.cosmos, err = cosmos.New(cosmos.Config{
			Dir: filepath.Join(c.Dir, "cosmos"), Clock: c.Clock, Logger: c.Logger, AccountName: c.Account,
		})
		return err
	})
	group.Go(func() (err error) {
		s.blob, err = blob.New(blob.Config{
			Dir: filepath.Join(c.Dir, "blob"), Account: c.Account, Clock: c.Clock, Logger: c.Logger,
			Versioning: file.BlobVersioning, AuthorizeSource: s.verifier.AuthorizeSource,
			OnChange: s.notices.add,
		})
		return err
	})
	group.Go(func() (err error) {
		s.queue, err = queue.New(queue.Config{
			Dir: filepath.Join(c.Dir, "queue"), Account: c.Account, Clock: c.Clock, Logger: c.Logger,
		})
		return err
	})
	group.Go(func() (err error) {
		s.monitor, err = monitor.New(monitor.Config{
			Dir: filepath.Join(c.Dir, "monitor"), Clock: c.Clock, Logger: c.Logger,
			Subscription: Subscription, ResourceGroup: ResourceGroup,
		})
		return err
	})
	err = group.Wait()
	if err == nil {
		err = s.wire()
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// wire makes what has no store and connects it.
func (s *services) wire() (err error) {
	s.functions, err = functions.New(functions.Config{
		Dir: filepath.Join(s.dir, "functions"), Clock: s.clock, Logger: s.logger,
		Record: func(app, metric string, value float64) {
			s.monitor.Record(s.monitor.ResourceID(appKind, app), metric, value)
		},
	})
	if err != nil {
		return err
	}
	resource := s.monitor.ResourceID(gatewayKind, GatewayName)
	s.gateway, err = apim.New(apim.Config{
		Backend: s.backend, Clock: s.clock, Logger: s.logger,
		Record: func(metric string, value float64, dimensions ...string) {
			s.monitor.Record(resource, metric, value, dimensions...)
		},
	})
	return err
}

// close closes what was opened, in reverse order.
func (s *services) close() error {
	var errs []error
	if s.monitor != nil {
		errs = append(errs, s.monitor.Close())
	}
	if s.queue != nil {
		errs = append(errs, s.queue.Close())
	}
	if s.blob != nil {
		errs = append(errs, s.blob.Close())
	}
	if s.cosmos != nil {
		errs = append(errs, s.cosmos.Close())
	}
	return errors.Join(errs...)
}

// front verifies each request of the data plane and routes it by its path.
func (s *services) front() http.Handler {
	return s.verifier.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grant, _ := auth.GrantOf(r.Context())
		s.telemetry.Box(boxOf(grant.Service), s.serving(grant.Service)).ServeHTTP(w, r)
	}))
}

// apply makes what the strict file names.
func (s *services) apply() error {
	file, err := ReadFile(filepath.Join(s.dir, FileName))
	if err != nil {
		return err
	}
	for _, d := range file.Databases {
		if err := s.cosmos.EnsureDatabase(d.Name); err != nil {
			return err
		}
		for _, c := range d.Containers {
			err := s.cosmos.EnsureContainer(d.Name, cosmos.ContainerSpec{
				ID: c.Name, PartitionKeyPaths: c.PartitionKey, DefaultTTL: c.DefaultTTL,
			})
			if err != nil {
				return err
			}
		}
	}
	for _, name := range file.BlobContainers {
		if err := s.blob.EnsureContainer(name); err != nil {
			return fmt.Errorf("create blob container %q: %w", name, err)
		}
	}
	for _, e := range file.EventSubscriptions {
		if err := s.queue.EnsureQueue(e.Queue); err != nil {
			return fmt.Errorf("create queue %q: %w", e.Queue, err)
		}
	}
	s.notices.subscribe(file.EventSubscriptions)
	s.apps = s.appsOf(file)
	s.functions.SetApps(s.apps)
	s.gateway.SetAPIs(apisOf(file))
	s.monitor.SetRules(s.rulesOf(file))
	return nil
}

func (s *services) appsOf(file File) []functions.App {
	var apps []functions.App
	for _, a := range file.FunctionApps {
		path := a.Package
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.dir, path)
		}
		apps = append(apps, functions.App{
			Name: a.Name, Package: path, Settings: a.Settings, HostKeys: a.HostKeys,
			Workers: a.Workers, Concurrency: a.Concurrency,
		})
	}
	return apps
}

func apisOf(file File) []apim.API {
	var apis []apim.API
	for _, a := range file.APIs {
		api := apim.API{
			Name: a.Name, Path: a.Path, Hosts: a.Hosts, Backend: a.FunctionApp,
			SubscriptionRequired: a.SubscriptionRequired, SubscriptionKeys: a.SubscriptionKeys,
			Timeout: a.Timeout,
		}
		for _, op := range a.Operations {
			api.Operations = append(api.Operations, apim.Operation(op))
		}
		apis = append(apis, api)
	}
	return apis
}

func (s *services) rulesOf(file File) monitor.Rules {
	var rules monitor.Rules
	for _, a := range file.MetricAlerts {
		rules.Metrics = append(rules.Metrics, monitor.MetricRule{
			Name: a.Name, Resource: s.monitor.ResourceID(gatewayKind, GatewayName), Metric: a.Metric,
			Dimension: a.Dimension, Aggregation: a.Aggregation, Operator: a.Operator,
			Threshold: a.Threshold, Window: a.Window, Every: a.Every, Severity: a.Severity,
		})
	}
	for _, t := range file.AvailabilityTests {
		rules.Tests = append(rules.Tests, monitor.Test{
			Name: t.Name, Resource: s.monitor.ResourceID(testKind, GatewayName), URL: t.URL,
			Every: t.Every, Timeout: t.Timeout, Failures: t.Failures, Successes: t.Successes,
			Severity: t.Severity,
		})
	}
	return rules
}
