package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic/delegation"
)

// Grades of a finding. Notes say what does not apply here and count as nothing found.
const (
	gradeOK   = "ok"
	gradeNote = "note"
	gradeWarn = "warn"
	gradeBad  = "bad"
)

// Finding is one thing that doctor looked at.
type Finding struct {
	Check  string `json:"check"`
	Grade  string `json:"grade"`  // ok, note, warn or bad
	Text   string `json:"text"`   // what was seen
	Advice string `json:"advice"` // what to do; "" where there is nothing to do
}

// Diagnosis is what `proa doctor` prints.
type Diagnosis struct {
	At       time.Time `json:"at"`
	Findings []Finding `json:"findings"`
	Warn     int       `json:"warn"`
	Bad      int       `json:"bad"`
}

// facts are what is known of a system when it is judged. A nil part could not be had; the error says why.
type facts struct {
	now     time.Time
	cfg     config.Config
	status  supervisor.Status
	node    *node.Status
	metrics *node.Metrics
	data    *datasync.Status
	reload  *node.ReloadStatus
	err     error
	doors   []door
	astray  []aim
	answers []answer
	parent  *delegation.Report // nil: not looked at
	deaf    error              // why the parent could not be asked
	disk    *disk
	secrets []looseFile
	// records are the validation records that the node serves.
	records []node.Validation
	// clocks are the nodes'; nil: not known. nodeSkew is the asked node's less this machine's.
	clocks   *node.ClocksReply
	nodeSkew time.Duration
}

func (a *app) doctorCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for day-two traps, and say what to do about each",
		Long: "Look for what bites on the second day: certificates on both gateways and their expiry, validation records, whether a gateway\n" +
			"takes the zone's Host, TTL against RTO, clocks, stream retention against backlog, feed mode, quotas and budgets, permissions,\n" +
			"quorum, the parent zone's delegation and glue, files and disk. Reads only. Exit code 4 when something is found.",
		Example: "  proa doctor\n  proa doctor -o json\n  proa doctor --config /etc/proa/proa.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d Diagnosis
			err := a.progress("looking", func() error {
				f, err := a.gather(cmd.Context(), file)
				if err == nil {
					d = diagnose(f)
				}
				return err
			})
			if err != nil {
				return err
			}
			if err := a.print(d, func(w io.Writer) { a.writeDiagnosis(w, d) }); err != nil {
				return err
			}
			if d.Warn+d.Bad > 0 {
				return &exitCode{code: exitDegraded}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the node's proa.yaml; the running system's when left out")
	return a.outputFlag(cmd)
}

// gather asks the supervisor, the node, both gateways, the name servers and the disk.
func (a *app) gather(ctx context.Context, file string) (*facts, error) {
	f := &facts{now: time.Now()}
	c, err := a.doctorClient(file)
	if err != nil {
		return nil, err
	}
	if file == "" {
		file = supervisor.NodeConfigPath(a.dir)
		if f.status, err = c.Status(ctx); err != nil {
			return nil, err
		}
		f.disk = diskOf(a.dir)
		f.secrets = looseFiles(a.dir)
	}
	if f.cfg, err = config.Load(file); err != nil {
		return nil, err
	}
	f.node, f.metrics, f.data, f.reload = &node.Status{}, &node.Metrics{}, &datasync.Status{}, &node.ReloadStatus{}
	for path, into := range map[string]any{"/v1/status": f.node, "/v1/metrics": f.metrics, "/v1/data": f.data, "/v1/config": f.reload} {
		if err := c.Node(ctx, http.MethodGet, path, nil, into); err != nil {
			f.err = err
			f.node, f.metrics, f.data, f.reload = nil, nil, nil, nil
			break
		}
	}
	f.doors, f.astray = knock(ctx, f.cfg), astray(ctx, f.cfg)
	if f.err == nil {
		f.askMore(ctx, c)
	}
	f.answers = interrogate(ctx, f.cfg, f.records)
	f.parent, f.deaf = askParent(ctx, f.cfg)
	return f, nil
}

// askMore asks for what nodes of an older version do not tell: nothing is said of it then.
func (f *facts) askMore(ctx context.Context, c *supervisor.Client) {
	var v node.ValidationsReply
	if c.Node(ctx, http.MethodGet, "/v1/dns/validations", nil, &v) == nil {
		f.records = v.Validations
	}
	var clocks node.ClocksReply
	began := time.Now()
	if c.Node(ctx, http.MethodGet, "/v1/clocks", nil, &clocks) == nil && clocks.Node != "" {
		f.clocks, f.nodeSkew = &clocks, clocks.At.Sub(began.Add(time.Since(began)/2))
	}
}

// doctorClient reaches the running system, or the node of a file.
func (a *app) doctorClient(file string) (*supervisor.Client, error) {
	if file == "" {
		return a.dial()
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	return supervisor.Remote(cfg.Node.Control, cfg.Node.ControlToken.Reveal()), nil
}

func (a *app) writeDiagnosis(w io.Writer, d Diagnosis) {
	marks := map[string]string{gradeOK: "✓", gradeNote: "·", gradeWarn: "!", gradeBad: "✗"}
	for _, f := range d.Findings {
		line := fmt.Sprintf("%s %s\t%s", marks[f.Grade], f.Check, f.Text)
		switch f.Grade {
		case gradeWarn:
			line = fmt.Sprintf("%s %s\t%s", marks[f.Grade], f.Check, a.style(yellow, f.Text))
		case gradeBad:
			line = fmt.Sprintf("%s %s\t%s", marks[f.Grade], f.Check, a.style(red, f.Text))
		}
		fmt.Fprintln(w, line)
		if f.Advice != "" && f.Grade != gradeOK {
			fmt.Fprintf(w, "\t→ %s\n", f.Advice)
		}
	}
	if d.Warn+d.Bad == 0 {
		fmt.Fprintln(w, "\n"+a.style(green, "nothing was found"))
		return
	}
	fmt.Fprintf(w, "\n%d to look at, %d of them now\n", d.Warn+d.Bad, d.Bad)
}
