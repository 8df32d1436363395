// Package objects is the end-to-end test of objects' replication: the built binary, its two clouds, and a node that is
// killed.
package objects

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/test/internal/system"
)

const (
	part = 8 << 20
	// maxRSS bounds the node's memory whatever the object's size: 64 MiB of parts, and all else that a node does.
	maxRSS = 256 << 20
	name   = "large/object.bin"
)

// scale is how large the object is and how fast the pipe to Azure: PROA_LARGE_MIB of `make test-large-object`.
func scale(t *testing.T) (size, bytesPerSecond int64) {
	t.Helper()
	v := os.Getenv("PROA_LARGE_MIB")
	if v == "" {
		return 128 << 20, 4 << 20 // of each of eight connections
	}
	mib, err := strconv.ParseInt(v, 10, 64)
	if err != nil || mib < 128 {
		t.Fatalf("PROA_LARGE_MIB=%q: want a number of at least 128", v)
	}
	return mib << 20, 8 << 20
}

// TestALargeObjectGoesOnAfterTheNodesDeath has an object cross to Azure through a throttled pipe in parts, kills the node
// in the middle, and wants the next one to go on with the parts that are stored, in bounded memory, and the same bytes at
// the end.
func TestALargeObjectGoesOnAfterTheNodesDeath(t *testing.T) {
	size, rate := scale(t)
	s := &system.System{T: t, Bin: system.Binary(t), Dir: filepath.Join(t.TempDir(), "proa"), Flags: []string{"--nodes", "1"}}
	s.UpUntilEnd()
	from, into, blob := buckets(t, s)
	s.Proa("brownout", "azure", "--scope", "data", "--bandwidth", fmt.Sprint(rate))
	body := &generated{left: size, rand: rand.NewChaCha8([32]byte{1}), crc: cloud.NewCRC64()}
	if _, err := from.Put(t.Context(), name, body, size, cloud.PutOptions{Metadata: map[string]string{"made": "up"}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	parts := int((size + part - 1) / part)
	before := staged(t, blob, parts/3, 10*time.Minute)
	first := kill(t, s)
	second := waitNode(t, s, first.pid)
	info := arrives(t, into, blob, time.Duration(size/rate)*time.Second+5*time.Minute)
	took := time.Since(began)
	if info.Size != size || !info.HasCRC64 || info.CRC64 != body.crc.Sum64() || info.Metadata["made"] != "up" {
		t.Errorf("stored %+v, want %d bytes with CRC-64 %016x", info, size, body.crc.Sum64())
	}
	if got := sum(t, into); got != body.crc.Sum64() {
		t.Errorf("the bytes have CRC-64 %016x, want %016x", got, body.crc.Sum64())
	}
	wentOn(t, blob, before)
	again := measure(second)
	again.read -= int64(parts-len(before)) * part
	t.Logf("%d MiB in %s; %d of %d parts before the kill; RSS at most %d MiB and %d MiB; the second node read %d MiB more than was missing",
		size>>20, took.Round(100*time.Millisecond), len(before), parts, first.rss>>20, again.rss>>20, again.read>>20)
	if first.rss > maxRSS || again.rss > maxRSS {
		t.Errorf("the node took more than %d MiB", maxRSS>>20)
	}
	// What was under way comes again; answers and feeds are small beside it.
	if runtime.GOOS == "linux" && again.read > 2*8*part {
		t.Errorf("the second node read %d MiB more than was missing", again.read>>20)
	}
}

// generated is a body that nobody holds.
type generated struct {
	left int64
	rand *rand.ChaCha8
	crc  interface {
		io.Writer
		Sum64() uint64
	}
}

func (g *generated) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n, _ := g.rand.Read(p[:min(int64(len(p)), g.left)]) // never fails
	g.left -= int64(n)
	return g.crc.Write(p[:n])
}

func buckets(t *testing.T, s *system.System) (*aws.Bucket, *azure.Bucket, *blockblob.Client) {
	t.Helper()
	var a, z map[string]string
	s.JSON(&a, "env", "aws")
	s.JSON(&z, "env", "azure")
	from, err := aws.NewBucket(t.Context(), aws.Config{
		Endpoint: a["AWS_ENDPOINT_URL"], Region: a["AWS_REGION"], AccessKeyID: a["AWS_ACCESS_KEY_ID"],
		SecretAccessKey: proa.NewSecret(a["AWS_SECRET_ACCESS_KEY"]),
	}, "attachments")
	if err != nil {
		t.Fatal(err)
	}
	connection := z["AZURE_STORAGE_CONNECTION_STRING"]
	into, err := azure.NewBucket(azure.Config{StorageConnection: proa.NewSecret(connection)}, "attachments")
	if err != nil {
		t.Fatal(err)
	}
	blob, err := blockblob.NewClientFromConnectionString(connection, "attachments", name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return from, into, blob
}

// staged waits for so many blocks that are not committed and returns their names.
func staged(t *testing.T, blob *blockblob.Client, least int, limit time.Duration) []string {
	t.Helper()
	var ids []string
	system.Until(t, limit, fmt.Sprint(least, " blocks"), func() error {
		time.Sleep(50 * time.Millisecond)
		list, err := blob.GetBlockList(t.Context(), blockblob.BlockListTypeUncommitted, nil)
		if err != nil {
			return err
		}
		ids = nil
		for _, b := range list.UncommittedBlocks {
			ids = append(ids, *b.Name)
		}
		if len(ids) < least {
			return fmt.Errorf("%d blocks", len(ids))
		}
		return nil
	})
	return ids
}

// arrives waits for the object, and says what has come when it does not.
func arrives(t *testing.T, into *azure.Bucket, blob *blockblob.Client, limit time.Duration) cloud.ObjectInfo {
	t.Helper()
	var info cloud.ObjectInfo
	system.Until(t, limit, "the object", func() error {
		time.Sleep(50 * time.Millisecond)
		var err error
		if info, err = into.Head(t.Context(), name); err == nil {
			return nil
		}
		list, listErr := blob.GetBlockList(t.Context(), blockblob.BlockListTypeUncommitted, nil)
		return errors.Join(err, listErr, fmt.Errorf("%d blocks have come", len(list.UncommittedBlocks)))
	})
	return info
}

// wentOn wants every block that was stored before the kill in the object.
func wentOn(t *testing.T, blob *blockblob.Client, before []string) {
	t.Helper()
	list, err := blob.GetBlockList(t.Context(), blockblob.BlockListTypeCommitted, nil)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string]bool{}
	for _, b := range list.CommittedBlocks {
		committed[*b.Name] = true
	}
	for _, id := range before {
		if !committed[id] {
			t.Errorf("block %s was stored before the node's death and is not in the object", id)
		}
	}
}

func sum(t *testing.T, into *azure.Bucket) uint64 {
	t.Helper()
	_, body, err := into.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	crc := cloud.NewCRC64()
	if _, err := io.Copy(crc, body); err != nil {
		t.Fatal(err)
	}
	return crc.Sum64()
}

// process is what the kernel says of one.
type process struct {
	pid       int
	rss, read int64 // the most memory, and all bytes read, from sockets too; zero elsewhere than on Linux
}

func measure(pid int) process {
	p := process{pid: pid}
	p.rss = procField(pid, "status", "VmHWM:") << 10
	p.read = procField(pid, "io", "rchar:")
	return p
}

func procField(pid int, file, key string) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == key {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n
		}
	}
	return 0
}

func kill(t *testing.T, s *system.System) process {
	t.Helper()
	p := measure(s.PID("node-1"))
	if p.pid == 0 {
		t.Fatal("no node runs")
	}
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return p
}

// waitNode waits for the node that is started in the place of another.
func waitNode(t *testing.T, s *system.System, old int) (pid int) {
	t.Helper()
	system.Until(t, 20*time.Second, "the next node", func() error {
		if pid = s.PID("node-1"); pid == 0 || pid == old {
			return errors.New("none yet")
		}
		return nil
	})
	return pid
}
