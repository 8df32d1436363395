package s3_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// peer returns the path of a tool, or skips: these tests drive the server with other people's
// programs.
func peer(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("PROA_PEERS") != "1" {
		t.Skip("set PROA_PEERS=1 and have " + name + " in PATH to run this")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("PROA_PEERS=1, but %s is not in PATH", name)
	}
	return path
}

// command runs a tool with the server's credentials and an otherwise empty configuration.
func command(t *testing.T, c *cloud, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	home := t.TempDir()
	// Left to themselves, boto3 and the CLI presign with SigV2 in us-east-1, which AWS refuses for
	// buckets made since 2020.
	profile := filepath.Join(home, "aws.ini")
	if err := os.WriteFile(profile, []byte("[default]\ns3 =\n  signature_version = s3v4\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "AWS_CONFIG_FILE=" + profile, "AWS_ACCESS_KEY_ID=" +
			testKey, "AWS_SECRET_ACCESS_KEY=" + testSecret,
		"AWS_REGION=" + testRegion, "AWS_DEFAULT_REGION=" + testRegion, "AWS_ENDPOINT_URL=" +
			c.url, "AWS_EC2_METADATA_DISABLED=true",
		"RCLONE_CONFIG_P_TYPE=s3", "RCLONE_CONFIG_P_PROVIDER=Other", "RCLONE_CONFIG_P_ENV_AUTH=true",
		"RCLONE_CONFIG_P_REGION=" + testRegion,
		"RCLONE_CONFIG_P_ENDPOINT=" + c.url, "RCLONE_CONFIG_P_FORCE_PATH_STYLE=true", "LC_ALL=C.UTF-8",
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	defer func() { t.Logf("%s %s: %v", filepath.Base(name), args[:2], time.Since(began)) }()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}

// tree writes files for the tools to carry, and returns the folder.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range map[string]int{
		"a.txt": 5, "empty": 0, "sub/b c+d%20.bin": 100 << 10, "sub/ü.bin": 1 << 20, "big.bin": 21 << 20,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text(size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fingerprint names every file of a folder with its hash.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(&b, "%s %x\n", path, sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPeerAWSCLI(t *testing.T) {
	aws := peer(t, "aws")
	c := start(t, config(t.TempDir(), nil))
	src, dst := tree(t), t.TempDir()
	command(t, c, aws, "s3", "mb", "s3://cli")
	command(t, c, aws, "s3", "sync", src, "s3://cli/p/")
	command(t, c, aws, "s3", "cp", "--recursive", "s3://cli/p/", "s3://cli/q/")
	command(t, c, aws, "s3", "sync", "s3://cli/q/", dst)
	if got, want := fingerprint(t, dst), fingerprint(t, src); got != want {
		t.Errorf("round trip:\n%s\nwant\n%s", got, want)
	}
	if out := command(t, c, aws, "s3", "ls", "--recursive", "s3://cli/p/"); strings.Count(out,
		"\n") != 5 {
		t.Errorf("ls: %s", out)
	}
	url := strings.TrimSpace(command(t, c, aws, "s3", "presign", "s3://cli/p/sub/b c+d%20.bin"))
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != text(100<<10) {
		t.Errorf("presigned: %d, %d bytes, %v", resp.StatusCode, len(b), err)
	}
	head := command(t, c, aws, "s3api", "head-object", "--bucket", "cli", "--key", "p/a.txt",
		"--checksum-mode", "ENABLED")
	if !strings.Contains(head, "ChecksumCRC64NVME") {
		t.Errorf("head: %s", head)
	}
	command(t, c, aws, "s3", "rm", "--recursive", "s3://cli/")
	command(t, c, aws, "s3", "rb", "s3://cli")
}

func TestPeerBoto3(t *testing.T) {
	python := peer(t, "python3")
	c := start(t, config(t.TempDir(), nil))
	if out := command(t, c, python, "testdata/boto.py", c.url); out != "OK\n" {
		t.Errorf("boto3 says %q", out)
	}
}

func TestPeerRclone(t *testing.T) {
	rclone := peer(t, "rclone")
	c := start(t, config(t.TempDir(), nil))
	src, dst := tree(t), t.TempDir()
	command(t, c, rclone, "mkdir", "P:rcl")
	command(t, c, rclone, "copy", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "8M", src,
		"P:rcl/dir")
	command(t, c, rclone, "check", src, "P:rcl/dir")
	command(t, c, rclone, "copy", "P:rcl/dir", "P:rcl/copy")
	command(t, c, rclone, "copy", "P:rcl/copy", dst)
	if got, want := fingerprint(t, dst), fingerprint(t, src); got != want {
		t.Errorf("round trip:\n%s\nwant\n%s", got, want)
	}
	command(t, c, rclone, "moveto", "P:rcl/dir/a.txt", "P:rcl/moved.txt")
	if out := command(t, c, rclone, "lsf", "P:rcl"); out != "copy/\ndir/\nmoved.txt\n" {
		t.Errorf("lsf: %q", out)
	}
	command(t, c, rclone, "purge", "P:rcl")
}

// freePort asks the system for a port.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// moto starts the differential peer and returns its address.
func moto(t *testing.T) string {
	t.Helper()
	path := peer(t, "moto_server")
	host, port, err := net.SplitHostPort(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-H", host, "-p", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if conn, err := net.Dial("tcp", net.JoinHostPort(host, port)); err == nil {
			_ = conn.Close()
			return "http://" + net.JoinHostPort(host, port)
		}
		time.Sleep(50 * time.Millisecond) // another program's start is not ours to await otherwise
	}
	t.Fatal("moto_server does not answer")
	return ""
}
