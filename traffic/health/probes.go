package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// TCP passes when a connection opens.
type TCP struct {
	Address string // host:port
	Guard   Guard
}

// Name implements Probe.
func (t TCP) Name() string { return "tcp " + t.Address }

// Probe implements Probe.
func (t TCP) Probe(ctx context.Context) Outcome {
	conn, err := t.Guard.dialer().DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return failed(err)
	}
	_ = conn.Close()
	return Outcome{Result: Pass, Reason: "connected"}
}

// Monitor passes while a cloud's own alarm is quiet. A monitor that cannot be asked or has no data
// is blind.
type Monitor struct {
	Of   string // "cloudwatch", "monitor"
	From cloud.Monitor
}

// Name implements Probe.
func (m Monitor) Name() string { return m.Of + " alarm" }

// Probe implements Probe.
func (m Monitor) Probe(ctx context.Context) Outcome {
	alarm, err := m.From.Alarm(ctx)
	switch {
	case err != nil:
		return Outcome{Result: Blind, Reason: "monitor not reached: " + err.Error()}
	case !alarm.Known:
		return Outcome{Result: Blind, Reason: "no data" + because(alarm.Reason)}
	case alarm.Firing:
		return Outcome{
			Result: Fail,
			Reason: "alarm since " + alarm.Since.UTC().Format(time.RFC3339) + because(alarm.Reason),
		}
	}
	return Outcome{Result: Pass, Reason: "quiet" + because(alarm.Reason)}
}

// Lag passes while a region has what the other one acknowledged, to within Max: what failing over to
// it would show its users.
type Lag struct {
	// From is the region whose changes are awaited.
	From proa.Region
	// Max is the oldest that a change on its way may be.
	Max time.Duration
	// Of tells the present lag, or why it is not known. It must not block.
	Of func() (lag time.Duration, unknown string)
}

// Name implements Probe.
func (l Lag) Name() string { return fmt.Sprintf("lag of changes from %s", l.From) }

// Probe implements Probe.
func (l Lag) Probe(context.Context) Outcome {
	lag, unknown := l.Of()
	said := lag.Round(time.Millisecond).String()
	switch {
	case unknown != "":
		return Outcome{Result: Blind, Reason: "lag unknown: " + unknown}
	case lag > l.Max:
		return Outcome{Result: Fail, Reason: fmt.Sprintf("%s, over %s", said, l.Max)}
	}
	return Outcome{Result: Pass, Reason: said}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// failed tells a failure of the endpoint from one of our own.
func failed(err error) Outcome {
	o := Outcome{Result: Fail, Reason: plain(err)}
	var timeout net.Error
	switch {
	case own(err):
		o.Result = Blind
		o.Reason = "distrusts itself: " + o.Reason
	case errors.Is(err, context.Canceled):
		o.Result = Blind
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		o.Timeout = true
		o.Reason = "no answer in time"
	}
	return o
}

// plain drops the wrapping that repeats what the check's name says.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
