package function

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/proa-cloud/proa/internal/stall"
)

const (
	defaultPort   = "8080"
	shutdownGrace = 5 * time.Second
	headerTimeout = 10 * time.Second
)

// Serve runs handler on the platform that started this process, until it is told to stop:
//
//   - AWS_LAMBDA_RUNTIME_API: as a Lambda, for events of HTTP APIs (payload 2.0), REST APIs (1.0) and function URLs;
//   - FUNCTIONS_CUSTOMHANDLER_PORT: as an Azure Functions custom handler on that port of the loopback address. Invocations of
//     functions whose triggers are not proxied HTTP arrive as POST /<FunctionName> with the trigger's data as body;
//   - otherwise: as a plain HTTP server on $HOST:$PORT, 127.0.0.1:8080 by default.
//
// SIGTERM and SIGINT end a server after requests in flight have been answered, within five seconds. A handler that panics answers 500.
func Serve(handler http.Handler) error {
	handler = counted(handler, os.Getenv)
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		lambda.Start(lambdaHandler{handler}) // returns only by ending the process; signals end it at once
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, handler, os.Getenv)
}

func serve(ctx context.Context, handler http.Handler, getenv func(string) string) error {
	address := net.JoinHostPort(orDefault(getenv("HOST"), "127.0.0.1"), orDefault(getenv("PORT"), defaultPort))
	if port := getenv("FUNCTIONS_CUSTOMHANDLER_PORT"); port != "" {
		functions, err := readFunctions(os.DirFS("."))
		if err != nil {
			return err
		}
		handler = demux{functions: functions, next: handler}
		address = net.JoinHostPort("127.0.0.1", port)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return serveHTTP(ctx, listener, handler)
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: stall.Default().Wrap(handler), ReadHeaderTimeout: headerTimeout}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}
