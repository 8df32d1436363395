package provision_test

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local"
	"github.com/proa-cloud/proa/aws/provision"
)

const (
	keyID, secret = "AKIDEXAMPLE0000000000", "secret"
	account       = "000000000000"
	region        = "eu-central-1"
)

// testAccount is a local AWS behind a proxy that can be cut.
type testAccount struct {
	proxy *httptest.Server
	left  atomic.Int64 // calls that still pass
}

func newAccount(t *testing.T) *testAccount {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan local.Addresses, 1), make(chan error, 1)
	go func() {
		done <- local.Run(ctx, local.Config{
			Dir: t.TempDir(), APIListen: "127.0.0.1:0", GatewayListen: "127.0.0.1:0",
			AccessKeyID: keyID, SecretAccessKey: proa.NewSecret(secret),
			AccountID: account, Region: region, Clock: time.Now,
			Logger: slog.New(slog.DiscardHandler), Ready: func(a local.Addresses) { ready <- a },
		})
	}()
	a := &testAccount{}
	t.Cleanup(func() {
		a.proxy.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	addresses := <-ready
	quiet := log.New(io.Discard, "", 0)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addresses.API})
	forward.ErrorLog = quiet
	a.left.Store(1 << 40)
	a.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.left.Add(-1) < 0 {
			http.Error(w, "cut", http.StatusForbidden) // not retried by the SDKs
			return
		}
		forward.ServeHTTP(w, r)
	}))
	return a
}

func (a *testAccount) config() aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(a.proxy.URL),
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}
}

func (a *testAccount) spec(t *testing.T) provision.Spec {
	t.Helper()
	path := filepath.Join(t.TempDir(), "function.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	h := &zip.FileHeader{Name: "bootstrap"}
	h.SetMode(0o755)
	file, err := w.CreateHeader(h)
	if err == nil {
		_, err = fmt.Fprintln(file, "#!/bin/sh")
	}
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return provision.Spec{
		Endpoint: a.proxy.URL, Region: region, AccountID: account,
		AccessKeyID: keyID, SecretAccessKey: secret,
		Tables: []proa.Schema{
			{Table: "orders", HashName: "id", HashKind: proa.KindS},
			{Table: "events", HashName: "id", HashKind: proa.KindS, RangeName: "at", RangeKind: proa.KindN},
		},
		Buckets: []string{"receipts"}, CodeBucket: "code", CodePath: path, Function: "orders",
		Env: map[string]string{"STAGE": "test"}, Routes: []string{"GET /healthz", "ANY /orders/{id}"}, Alarm: "orders-5xx",
	}
}

// state is what the account holds, in words.
func (a *testAccount) state(t *testing.T) []string {
	t.Helper()
	var out []string
	db := dynamodb.NewFromConfig(a.config())
	for _, name := range []string{"orders", "events"} {
		d, err := db.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("table %s stream %s", name, d.Table.StreamSpecification.StreamViewType))
	}
	client := apigatewayv2.NewFromConfig(a.config())
	apis, err := client.GetApis(t.Context(), &apigatewayv2.GetApisInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, api := range apis.Items {
		integrations, err := client.GetIntegrations(t.Context(), &apigatewayv2.GetIntegrationsInput{ApiId: api.ApiId})
		if err != nil {
			t.Fatal(err)
		}
		routes, err := client.GetRoutes(t.Context(), &apigatewayv2.GetRoutesInput{ApiId: api.ApiId})
		if err != nil {
			t.Fatal(err)
		}
		stages, err := client.GetStages(t.Context(), &apigatewayv2.GetStagesInput{ApiId: api.ApiId})
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for _, r := range routes.Items {
			ok := aws.ToString(r.Target) == "integrations/"+aws.ToString(integrations.Items[0].IntegrationId)
			keys[aws.ToString(r.RouteKey)] = ok
		}
		out = append(out, fmt.Sprintf("api %s: %d integrations, %d stages, routes %v", aws.ToString(api.Name),
			len(integrations.Items), len(stages.Items), slices.Sorted(maps.Keys(keys))), fmt.Sprint(keys))
	}
	alarms, err := cloudwatch.NewFromConfig(a.config()).DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range alarms.MetricAlarms {
		out = append(out, "alarm "+aws.ToString(m.AlarmName))
	}
	return out
}

var whole = []string{
	"table orders stream NEW_AND_OLD_IMAGES", "table events stream NEW_AND_OLD_IMAGES",
	"api orders: 1 integrations, 1 stages, routes [ANY /orders/{id} GET /healthz]",
	"map[ANY /orders/{id}:true GET /healthz:true]", "alarm orders-5xx",
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	a := newAccount(t)
	spec := a.spec(t)
	for range 2 {
		if err := provision.Apply(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if got := a.state(t); !slices.Equal(got, whole) {
			t.Errorf("the account holds %q", got)
		}
	}
}

func TestApplyGoesOnAfterAnEndAtAnyCall(t *testing.T) {
	for calls := int64(0); ; calls += 2 {
		a := newAccount(t)
		spec := a.spec(t)
		a.left.Store(calls)
		cut := provision.Apply(t.Context(), spec)
		a.left.Store(1 << 40)
		if cut == nil {
			if calls < 14 {
				t.Errorf("%d calls were enough", calls)
			}
			return
		}
		if err := provision.Apply(t.Context(), spec); err != nil {
			t.Fatalf("after an end at call %d: %v", calls, err)
		}
		if got := a.state(t); !slices.Equal(got, whole) {
			t.Fatalf("after an end at call %d the account holds %q", calls, got)
		}
	}
}

func TestApplyAddsAStreamToATableThatIsThere(t *testing.T) {
	a := newAccount(t)
	a.create(t, "id", nil)
	if err := provision.Apply(t.Context(), a.spec(t)); err != nil {
		t.Fatal(err)
	}
	if got := a.state(t); !slices.Equal(got, whole) {
		t.Errorf("the account holds %q", got)
	}
}

func TestApplyRefusesATableThatItCannotUse(t *testing.T) {
	for want, c := range map[string]struct {
		hash   string
		stream *types.StreamSpecification
	}{
		"exists with the key name HASH": {"name", nil},
		"stream of KEYS_ONLY": {"id", &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly,
		}},
	} {
		a := newAccount(t)
		a.create(t, c.hash, c.stream)
		spec := a.spec(t)
		spec.Tables = spec.Tables[:1]
		err := provision.Apply(t.Context(), spec)
		if !errors.Is(err, proa.ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// create makes the table orders as somebody else would have.
func (a *testAccount) create(t *testing.T, hash string, stream *types.StreamSpecification) {
	t.Helper()
	_, err := dynamodb.NewFromConfig(a.config()).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("orders"), BillingMode: types.BillingModePayPerRequest, StreamSpecification: stream,
		KeySchema: []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &hash, AttributeType: types.ScalarAttributeTypeS},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}
