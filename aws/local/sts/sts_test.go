package sts_test

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/proa-cloud/proa/aws/local/sts"
)

func TestTheSDKLearnsWhoIsCalling(t *testing.T) {
	server := httptest.NewServer(&sts.Server{AccountID: "123456789012"})
	defer server.Close()
	client := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	out, err := client.GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Account != "123456789012" || *out.Arn != "arn:aws:iam::123456789012:root" || *out.UserId != "123456789012" {
		t.Errorf("got %s %s %s", *out.Account, *out.Arn, *out.UserId)
	}
}

func TestWhatIsNotAnsweredIsRefusedInTheVendorsWords(t *testing.T) {
	for _, c := range []struct{ method, query, body, want string }{
		{http.MethodPost, "", "Action=AssumeRole&Version=2011-06-15", "InvalidAction"},
		{http.MethodPost, "", "", "MissingAction"},
		{http.MethodGet, "Action=", "", "MissingAction"},
		{http.MethodPost, "", "Action=%zz", "MalformedQueryString"},
		{http.MethodPost, "", "Action=" + strings.Repeat("x", 64<<10), "MalformedInput"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, "/?"+c.query, strings.NewReader(c.body))
		(&sts.Server{AccountID: "123456789012"}).ServeHTTP(w, r)
		var refusal struct {
			Code string `xml:"Error>Code"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &refusal); err != nil {
			t.Errorf("%v: %s", err, w.Body)
		}
		if w.Code != http.StatusBadRequest || refusal.Code != c.want {
			t.Errorf("%.40q: %d %s, want %s", c.body+c.query, w.Code, refusal.Code, c.want)
		}
	}
}
