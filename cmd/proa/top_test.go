package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
)

func plain(_, text string) string { return text }

// crowded is a system of which much is to be said.
func crowded() sample {
	pid, lag, backlog := 4711, int64(123456), int64(98765)
	p99 := 1234.5
	s := supervisor.Status{
		Zone: "orders.proa.test", DNS: []string{"127.0.0.1:5300", "127.0.0.1:5301", "127.0.0.1:5302"},
		Plan:     &proa.Plan{Version: 9, Active: proa.Azure, Reason: strings.Repeat("a long reason ", 20), Since: time.Now()},
		Verified: &node.Verified{Keys: 1234567, Differences: 3},
		Regions: map[proa.Region]supervisor.RegionStatus{
			proa.AWS:   {Health: proa.Unhealthy, Reason: strings.Repeat("refused ", 30), Gateway: "http://127.0.64.1:8080"},
			proa.Azure: {Health: proa.Healthy, PID: &pid, LagMS: &lag, Backlog: &backlog, LagP99MS: &p99, Unreplicated: &backlog},
		},
		Processes: []supervisor.Process{{Name: "supervisor", PID: 1}, {Name: "cloud-azure", PID: 4711, RSSBytes: 70 << 20}, {Name: "node-1", PID: 3}},
	}
	for range 12 {
		s.Faults = append(s.Faults, supervisor.Fault{Kind: supervisor.KindBrownout, Target: "aws", Text: strings.Repeat("slow ", 30)})
	}
	return sample{at: time.Now(), status: s}
}

func TestThePictureFitsItsTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {100, 30}, {200, 60}, {80, 10}} {
		v := view{width: size[0], height: size[1], live: true, paint: plain}
		for range 50 {
			v.samples = append(v.samples, crowded())
		}
		text := picture(v)
		rows := strings.Split(strings.TrimRight(text, "\n"), "\n")
		if len(rows) > size[1] {
			t.Errorf("%v: %d rows", size, len(rows))
		}
		for _, row := range rows {
			if cells(row) > size[0] {
				t.Errorf("%v: %d columns: %s", size, cells(row), row)
			}
		}
		if !strings.HasPrefix(rows[len(rows)-1], "q ends") {
			t.Errorf("%v: nobody says how to end: %s", size, rows[len(rows)-1])
		}
	}
}

func TestThePictureSaysWhatMatters(t *testing.T) {
	text := picture(view{samples: []sample{crowded(), crowded()}, width: 100, paint: plain})
	for _, want := range []string{"→ azure since", "○ AWS  unhealthy  dead", "● Azure  healthy  pid 4711, 70 MiB", "NOT equal", "123456 ms", "98765", "1234 ms", "unknown", "brownout on aws"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	s := crowded()
	s.status.Plan, s.status.NodeError, s.status.Verified = nil, "refused", nil
	text = picture(view{samples: []sample{s}, width: 80, paint: plain})
	if !strings.Contains(text, "no plan: refused") || !strings.Contains(text, "not compared yet") {
		t.Error(text)
	}
	text = picture(view{samples: []sample{{err: errors.New("it has gone")}}, width: 80, paint: plain})
	if !strings.Contains(text, "no answer: it has gone") {
		t.Error(text)
	}
}

func TestTopLooksAgainAndEnds(t *testing.T) {
	looks := 0
	m := tea.Model(topModel{every: time.Millisecond, look: func() sample { looks++; return crowded() }, view: view{paint: plain}})
	msg := m.Init()()
	for range 3 * maxSamples {
		var cmd tea.Cmd
		if m, cmd = m.Update(msg); cmd == nil {
			t.Fatalf("nothing follows %T", msg)
		}
		msg = cmd()
	}
	if n := len(m.(topModel).view.samples); n != maxSamples || looks < maxSamples {
		t.Errorf("%d looks, %d remembered", looks, n)
	}
	m, _ = m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	if v := m.(topModel).view; v.width != 120 || v.height != 40 || !m.View().AltScreen {
		t.Errorf("%d × %d", v.width, v.height)
	}
	_, cmd := m.Update(tea.KeyPressMsg{Code: 'q', Text: "q"})
	if cmd == nil {
		t.Fatal("q does nothing")
	}
	if _, ok := cmd().(tea.QuitMsg); !ok {
		t.Error("q does not end it")
	}
}
