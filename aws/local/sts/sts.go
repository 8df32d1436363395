// Package sts is the Security Token Service of the local AWS: it says who is calling.
//
// The query protocol, https://docs.aws.amazon.com/STS/latest/APIReference/Welcome.html. The caller
// in front has verified the signature and passes the access key on.
package sts

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const (
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	version   = "2011-06-15"
	maxBody   = 64 << 10
)

// Server answers for one account, which has one root user.
type Server struct {
	AccountID string
}

type callerIdentity struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := wire.RequestID()
	w.Header().Set("X-Amzn-Requestid", id)
	action, refusal := parse(r)
	if refusal != nil {
		wire.WriteQuery(w, namespace, id, refusal)
		return
	}
	if action != "GetCallerIdentity" {
		wire.WriteQuery(w, namespace, id, wire.Errorf(http.StatusBadRequest, "InvalidAction",
			"Could not find operation %s for version %s", action, version))
		return
	}
	wire.WriteXML(w, http.StatusOK, callerIdentity{
		Namespace: namespace,
		Arn:       "arn:aws:iam::" + s.AccountID + ":root",
		UserID:    s.AccountID,
		Account:   s.AccountID,
		RequestID: id,
	})
}

func parse(r *http.Request) (action string, refusal *wire.Error) {
	values := r.URL.Query()
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil || len(body) > maxBody {
			return "", wire.Errorf(http.StatusBadRequest, "MalformedInput", "unreadable body")
		}
		if values, err = url.ParseQuery(string(body)); err != nil {
			return "", wire.Errorf(http.StatusBadRequest, "MalformedQueryString", "%v", err)
		}
	}
	action = values.Get("Action")
	if action == "" {
		return "", wire.Errorf(http.StatusBadRequest, "MissingAction",
			"The request is missing an action or a required parameter.")
	}
	return action, nil
}
