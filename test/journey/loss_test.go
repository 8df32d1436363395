package journey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/drill"
	proc "github.com/proa-cloud/proa/test/internal/system"
)

// TestWritesLostWithACloudAreListed loses AWS while data sync is cut from it: nothing that it acknowledged has been captured, and all of it must be
// listed at once, by key, and be there after healing.
func TestWritesLostWithACloudAreListed(t *testing.T) {
	s := start(t, proc.Binary(t), filepath.Join(t.TempDir(), "proa"))
	st := s.status()
	s.Proa("partition", "aws")
	const orders = 30
	for i := range orders {
		mustRequest(t, "POST", st.Regions["aws"].Gateway+"/orders", fmt.Sprintf(`{"id":"late-%02d","item":"oar"}`, i))
	}
	code, _, body, err := request(t.Context(), "PUT", st.Regions["aws"].Gateway+"/orders/late-00/attachment", []byte("file"), "text/plain")
	if err != nil || code != 200 {
		t.Fatalf("PUT attachment: %d %v %s", code, err, body)
	}
	s.Proa("kill", "aws")
	out := s.Proa("diff", "--region", "aws")
	for i := range orders {
		if !strings.Contains(out, fmt.Sprintf("orders/late-%02d", i)) {
			t.Errorf("late-%02d is not listed", i)
		}
	}
	if !strings.Contains(out, "attachments/late-00") {
		t.Error("the attachment is not listed")
	}
	if t.Failed() {
		t.Log(out)
	}
	if n := s.status().Regions["aws"].Unreplicated; n == nil || *n != orders+1 {
		t.Errorf("status counts %v unreplicated writes, want %d", n, orders+1)
	}
	proc.Until(t, 15*time.Second, "the dead region's lag to be unknown", func() error {
		if lag := s.status().Regions["aws"].LagMS; lag != nil {
			return fmt.Errorf("lag %d ms", *lag)
		}
		return nil
	})
	s.Proa("heal", "partition")
	s.Proa("heal", "aws")
	for i := range orders {
		proc.Until(t, 20*time.Second, "the order on Azure", func() error {
			code, _, body, err := request(t.Context(), "GET", fmt.Sprintf("%s/orders/late-%02d", st.Regions["azure"].Gateway, i), nil, "")
			if err != nil || code != 200 {
				return fmt.Errorf("%d %v %s", code, err, body)
			}
			return nil
		})
	}
	proc.Until(t, 20*time.Second, "the list to be empty", func() error {
		if out := s.Proa("diff"); !strings.HasPrefix(out, "0 acknowledged writes") {
			return errors.New(out)
		}
		return nil
	})
}

// TestDrillStartsItsOwnSystemAndJudges runs the drill as CI would, and once with an objective that cannot be met.
func TestDrillStartsItsOwnSystemAndJudges(t *testing.T) {
	s := &system{&proc.System{T: t, Bin: proc.Binary(t), Dir: filepath.Join(t.TempDir(), "none")}}
	out, stderr, code := s.Run("drill", "--warm", "3s", "--hold", "2s", "-o", "json")
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr)
	}
	var report drill.Report
	if err := json.NewDecoder(bytes.NewReader([]byte(out))).Decode(&report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := report.Scenarios[0].Runs[0]
	loss, split := run.Phases[0], run.Phases[1]
	if run.Acked < 300 || loss.DetectMS == nil || *loss.DetectMS <= 0 || loss.RTOMS == nil || run.Keys < int64(run.Acked) || len(split.Journaled) != 10 {
		t.Errorf("implausible: %s", out)
	}
	out, stderr, code = s.Run("drill", "kill-primary", "--warm", "1s", "--hold", "1s", "--rate", "50", "--rto", "1ms")
	if code != 5 || !strings.Contains(out, "RTO") || !strings.Contains(out, "over the objective of 1 ms") {
		t.Errorf("an RTO of 1 ms: exit %d, want 5\n%s\n%s", code, out, stderr)
	}
}
