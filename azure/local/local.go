// Package local is an Azure on this machine: Cosmos DB, Blob Storage, a Functions host, API Management
// and Monitor in one process with one data folder, over the vendor's wire protocols.
package local

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/proa-cloud/proa"
)

// Addresses are where the cloud listens, once it does.
type Addresses struct {
	Data    string // host:port of Cosmos DB, Blob Storage and Monitor
	Gateway string // host:port of API Management
}

// Config describes the cloud. What a deployment creates stands in Dir/azure.yaml; see File.
type Config struct {
	Dir           string // data folder
	Listen        string // host:port of the data plane, such as 127.0.0.1:8081
	GatewayListen string // host:port of API Management, such as 127.0.64.2:8080
	Account       string // storage account name, such as proalocal
	CosmosKey     proa.Secret
	CosmosReadKey proa.Secret // optional
	StorageKey    proa.Secret
	MonitorToken  proa.Secret
	Clock         func() time.Time
	Logger        *slog.Logger // nil discards
	// Ready is called once, when requests are answered; nil for nobody to tell.
	Ready func(Addresses)
}

// Run runs the cloud until ctx ends.
func Run(ctx context.Context, c Config) error {
	return errors.New("azure/local: not built yet")
}
