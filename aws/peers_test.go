package aws

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

// dynamoDBLocal starts AWS's own emulator, which the differential test of aws/local/dynamodb downloads.
func dynamoDBLocal(t *testing.T) Config {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "proa-peers", "dynamodb-local")
	jars, _ := filepath.Glob(filepath.Join(dir, "lib", "DynamoDBLocal-*.jar"))
	if os.Getenv("PROA_PEERS") != "1" || len(jars) == 0 {
		t.Skip("PROA_PEERS=1 runs the suite against DynamoDB Local, once PROA_PEERS=1 go test ./aws/local/dynamodb has fetched it")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	java := exec.Command("java", "-Xmx512m", "-Djava.library.path=lib", "-Dsqlite4java.library.path=lib", "-cp", "lib/*",
		"com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-sharedDb", "-disableTelemetry",
		"-port", strconv.Itoa(port))
	java.Dir = dir
	if err := java.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = java.Process.Kill()
		_ = java.Wait()
	})
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	for range 300 {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return testConfig(url)
		}
		time.Sleep(100 * time.Millisecond) // the JVM says nothing when it is ready
	}
	t.Fatal("DynamoDB Local did not start")
	return Config{}
}

func TestConformanceAgainstDynamoDBLocal(t *testing.T) {
	c := dynamoDBLocal(t)
	for _, s := range schemas() {
		createTable(t, c, s)
		t.Run(s.Table, func(t *testing.T) {
			cloudtest.RunTable(t, func(t *testing.T) cloud.Table { return openTable(t, c, s) })
			cloudtest.RunFeed(t, openTable(t, c, s), func(t *testing.T) cloud.Feed { return openFeed(t, c, s) },
				cloudtest.FeedShows{AllVersions: true, OldImages: true, Stamps: time.Minute})
		})
	}
}
