package orders

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/function"
)

// Where orders and attachments live.
const (
	TableName  = "orders"
	BucketName = "attachments"
)

// Schema is the key schema of the orders table.
func Schema() proa.Schema {
	return proa.Schema{Table: TableName, HashName: "id", HashKind: proa.KindS}
}

// Table is what the application needs of its table; function.Table provides it.
type Table interface {
	Get(ctx context.Context, key proa.Key) (function.Entry, error)
	PutNew(ctx context.Context, item proa.Item) (proa.Version, error)
	Update(ctx context.Context, key proa.Key, change func(function.Entry) (proa.Item, error)) (function.Entry, error)
	Delete(ctx context.Context, key proa.Key) error
	DeleteIf(ctx context.Context, key proa.Key, version proa.Version) error
	List(ctx context.Context, cursor string, limit int) ([]function.Entry, string, error)
}

// Bucket is what the application needs of its bucket; function.Bucket provides it.
type Bucket interface {
	Put(ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions) (cloud.ObjectInfo, error)
	Get(ctx context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error)
	Head(ctx context.Context, name string) (cloud.ObjectInfo, error)
	Delete(ctx context.Context, name, ifMatch string) error
}

// Main runs the application from its environment; see package function.
func Main() error {
	ctx := context.Background()
	table, err := function.OpenTable(ctx, Schema())
	if err != nil {
		return err
	}
	bucket, err := function.OpenBucket(ctx, BucketName)
	if err != nil {
		return err
	}
	return function.Serve(Handler(table, bucket, function.Region(), slog.Default()))
}

type app struct {
	table  Table
	bucket Bucket
	region proa.Region
	logger *slog.Logger
}

// Handler serves the application from a table and a bucket of one region.
func Handler(table Table, bucket Bucket, region proa.Region, logger *slog.Logger) http.Handler {
	a := &app{table: table, bucket: bucket, region: region, logger: logger}
	mux := http.NewServeMux()
	mux.Handle("/orders", methods{"POST": a.create, "GET": a.list})
	mux.Handle("/orders/{id}", methods{"GET": a.read, "PATCH": a.patch, "DELETE": a.remove})
	mux.Handle("/orders/{id}/attachment", methods{
		"PUT": a.attach, "GET": a.download, "HEAD": a.describe, "DELETE": a.detach,
	})
	mux.Handle("/healthz", methods{"GET": a.health})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "no_such_route", "there is nothing at "+r.URL.Path)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Served-By", string(region))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// methods routes one path by method. HEAD goes where GET goes unless it has a handler of its own.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handle, ok := m[r.Method]
	if !ok && r.Method == http.MethodHead {
		handle, ok = m[http.MethodGet]
	}
	if ok {
		handle(w, r)
		return
	}
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if _, has := m[method]; has || method == "HEAD" && m["GET"] != nil {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not allowed here")
}
