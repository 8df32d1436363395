package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// failure is an error in the shape of Azure Resource Manager.
type failure struct {
	status        int
	code, message string
}

func badRequest(format string, args ...any) *failure {
	return &failure{http.StatusBadRequest, "BadRequest", fmt.Sprintf(format, args...)}
}

// ServeHTTP answers the reads of metrics and alerts. The request must have been verified.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-ms-request-id", newID())
	w.Header().Set("x-ms-correlation-request-id", newID())
	answer, f := s.answer(r)
	status := http.StatusOK
	if f != nil {
		status = f.status
		answer = map[string]any{"error": map[string]string{"code": f.code, "message": f.message}}
		w.Header().Set("x-ms-failure-cause", "service")
	}
	body, err := json.Marshal(answer)
	if err != nil {
		s.logger.Error("cannot answer a monitor request", "error", err)
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *Server) answer(r *http.Request) (any, *failure) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("The query string is not well formed.")
	}
	path, lower := r.URL.Path, strings.ToLower(r.URL.Path)
	const metricsAt, alertsAt = "/providers/microsoft.insights/metrics",
		"/providers/microsoft.alertsmanagement/alerts"
	if _, rest, ok := strings.Cut(lower, "/subscriptions/"); !ok ||
		!strings.EqualFold("/subscriptions/"+strings.Split(rest, "/")[0], s.sub) {
		return nil, &failure{
			http.StatusNotFound, "SubscriptionNotFound", "The subscription could not be found.",
		}
	}
	if query.Get("api-version") == "" {
		return nil, &failure{
			http.StatusBadRequest, "MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests.",
		}
	}
	if r.Method != http.MethodGet {
		return nil, &failure{
			http.StatusMethodNotAllowed, "MethodNotAllowed",
			"The requested resource does not support http method '" + r.Method + "'.",
		}
	}
	if i := strings.LastIndex(lower, alertsAt); i >= 0 {
		return s.answerAlerts(path[i+len(alertsAt):], query)
	}
	if resource, ok := strings.CutSuffix(lower, metricsAt); ok {
		return s.answerMetrics(path[:len(resource)], query)
	}
	return nil, &failure{
		http.StatusNotFound, "InvalidResourceType",
		"The resource type could not be found in the namespace, or is not implemented here.",
	}
}

// answerAlerts is Alerts - Get All and Get By Id:
// https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-all.
func (s *Server) answerAlerts(rest string, query url.Values) (any, *failure) {
	from := time.Time{}
	if rest == "" {
		width, ok := map[string]time.Duration{
			"": 24 * time.Hour, "1h": time.Hour, "1d": 24 * time.Hour, "7d": 7 * 24 * time.Hour,
			"30d": alertLife,
		}[strings.ToLower(query.Get("timeRange"))]
		if !ok {
			return nil, badRequest("timeRange %q is not one of 1h, 1d, 7d, 30d.", query.Get("timeRange"))
		}
		from = s.clock().Add(-width)
	}
	all, err := s.list(from,
		query.Get("alertRule"), query.Get("monitorCondition"), query.Get("severity"))
	if err != nil {
		s.logger.Error("cannot read the alerts", "error", err)
		return nil, &failure{
			http.StatusInternalServerError, "InternalServerError", "The alerts could not be read.",
		}
	}
	if id := strings.Trim(rest, "/"); id != "" {
		for _, a := range all {
			if strings.EqualFold(a.ID, id) {
				return s.show(a), nil
			}
		}
		return nil, &failure{http.StatusNotFound, "NotFound", "There is no alert " + id + "."}
	}
	if strings.EqualFold(query.Get("sortOrder"), "asc") {
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
	}
	limit, err := strconv.Atoi(query.Get("pageCount"))
	if err != nil || limit < 1 || limit > 250 {
		limit = 250
	}
	shown := []any{}
	for _, a := range all[:min(limit, len(all))] {
		shown = append(shown, s.show(a))
	}
	return map[string]any{"value": shown}, nil
}

func (s *Server) show(a alert) map[string]any {
	parts := strings.Split(a.Resource, "/")
	kind, name := "", parts[len(parts)-1]
	if len(parts) >= 3 {
		kind = strings.Join(parts[len(parts)-3:len(parts)-1], "/")
	}
	group := s.scope[strings.LastIndexByte(s.scope, '/')+1:]
	essentials := map[string]any{
		"severity": fmt.Sprintf("Sev%d", a.Severity), "signalType": "Metric", "alertState": "New",
		"monitorCondition": a.Condition, "monitorService": a.Service, "targetResource": a.Resource,
		"targetResourceName": name, "targetResourceGroup": group, "targetResourceType": kind,
		"sourceCreatedId": a.ID, "alertRule": a.Rule, "description": a.Reason,
		"startDateTime": moment(a.Start), "lastModifiedDateTime": moment(a.Modified),
		"lastModifiedUserName": "System",
	}
	if !a.Resolved.IsZero() {
		essentials["monitorConditionResolvedDateTime"] = moment(a.Resolved)
	}
	return map[string]any{
		"id":   s.sub + "/providers/Microsoft.AlertsManagement/alerts/" + a.ID,
		"type": "Microsoft.AlertsManagement/alerts", "name": a.Name,
		"properties": map[string]any{"essentials": essentials},
	}
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
