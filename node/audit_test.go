package node

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOnlyWhatOperatorsOrderIsAudited(t *testing.T) {
	for request, want := range map[string]bool{
		"POST /v1/hold": true, "POST /v1/switchover": true, "POST /v1/verify?repair=true": true,
		"GET /v1/status": false, "POST /v1/verify": false, "POST /v1/plan/dry-run": false,
		"POST /v1/conflicts/replay": false, "POST " + announcePath: false,
		// functions ask for it several times a second
		"POST " + leasePath + "?region=aws": false,
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := isOrder(httptest.NewRequest(method, target, nil)); got != want {
			t.Errorf("%s: %t, want %t", request, got, want)
		}
	}
}
