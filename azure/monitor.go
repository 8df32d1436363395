package azure

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Monitor reads one Azure Monitor alert rule's alerts through the AlertsManagement API, as a cloud.Monitor.
type Monitor struct {
	rule     string
	config   Config
	endpoint string
	pipeline runtime.Pipeline
}

var _ cloud.Monitor = (*Monitor)(nil)

const (
	publicManagement = "https://management.azure.com"
	alertsVersion    = "2019-03-01"
	alertsWindow     = "30d" // for which the service keeps alerts: one that fires for longer than that is no longer seen
)

// NewMonitor watches the alert rule of that name in a subscription. It needs MonitorToken or an identity, and makes no call.
func NewMonitor(c Config, subscription, rule string) (*Monitor, error) {
	base := cmp.Or(c.MonitorEndpoint, publicManagement)
	var credential azcore.TokenCredential = staticToken{c.MonitorToken}
	if c.MonitorToken.IsZero() {
		var err error
		if credential, err = c.identity(); err != nil {
			return nil, badConfig(err)
		}
	}
	o := c.options()
	scope := strings.TrimSuffix(base, "/") + "/.default"
	bearer := runtime.NewBearerTokenPolicy(credential, []string{scope}, &policy.BearerTokenOptions{
		InsecureAllowCredentialWithHTTP: isLoopback(base),
	})
	pipeline := runtime.NewPipeline("proa", "v0", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, &o)
	endpoint := strings.TrimSuffix(base, "/") + "/subscriptions/" + url.PathEscape(subscription) +
		"/providers/Microsoft.AlertsManagement/alerts"
	return &Monitor{rule: rule, config: c, endpoint: endpoint, pipeline: pipeline}, nil
}

// staticToken is a bearer token as a credential.
type staticToken struct{ token proa.Secret }

func (t staticToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: t.token.Reveal(), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// alertList is what this driver reads of an answer.
// https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-all
type alertList struct {
	Value []struct {
		Properties struct {
			Essentials essentials `json:"essentials"`
		} `json:"properties"`
	} `json:"value"`
	NextLink string `json:"nextLink"`
}

type essentials struct {
	AlertRule   string    `json:"alertRule"`
	Condition   string    `json:"monitorCondition"` // Fired or Resolved
	Start       time.Time `json:"startDateTime"`
	Resolved    time.Time `json:"monitorConditionResolvedDateTime"`
	Description string    `json:"description"`
	Target      string    `json:"targetResourceName"`
}

// Alarm reports firing while the latest alert of the rule has not been resolved. A rule that has not fired within 30 days is known and
// quiet: the API lists alerts, not rules, and does not tell a quiet rule from one that does not exist.
func (m *Monitor) Alarm(ctx context.Context) (cloud.Alarm, error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.timeout())
	defer cancel()
	query := url.Values{
		"api-version": {alertsVersion}, "timeRange": {alertsWindow}, "sortBy": {"startDateTime"}, "sortOrder": {"desc"},
		"alertRule": {m.rule},
	}
	list, err := m.list(ctx, m.endpoint+"?"+query.Encode())
	if err != nil {
		return cloud.Alarm{}, fail("read alerts", m.rule, err)
	}
	var last *essentials
	for i := range list.Value {
		e := &list.Value[i].Properties.Essentials
		if m.isRule(e.AlertRule) && (last == nil || e.Start.After(last.Start)) {
			last = e
		}
	}
	if last == nil {
		return cloud.Alarm{Known: true, Reason: "no alert of the rule within 30 days"}, nil
	}
	if last.Condition == "Fired" {
		reason := cmp.Or(last.Description, "alert fired on "+last.Target)
		return cloud.Alarm{Firing: true, Known: true, Reason: reason, Since: last.Start}, nil
	}
	return cloud.Alarm{Known: true, Reason: "the last alert was resolved", Since: last.Resolved}, nil
}

// isRule compares with a rule's name or with its resource ID, which ends in the name.
func (m *Monitor) isRule(rule string) bool {
	return strings.EqualFold(rule, m.rule) ||
		strings.EqualFold(rule[strings.LastIndexByte(rule, '/')+1:], m.rule)
}

func (m *Monitor) list(ctx context.Context, address string) (alertList, error) {
	req, err := runtime.NewRequest(ctx, http.MethodGet, address)
	if err != nil {
		return alertList{}, err
	}
	resp, err := m.pipeline.Do(req)
	if err != nil {
		return alertList{}, err
	}
	defer resp.Body.Close()
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return alertList{}, runtime.NewResponseError(resp)
	}
	var list alertList
	err = runtime.UnmarshalAsJSON(resp, &list)
	return list, err
}
