package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/proa-cloud/proa/azure/local/auth"
)

const account = "proalocal"

func key(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// front is a verified handler that answers every request that gets through with 200.
func front(t *testing.T, now func() time.Time) *httptest.Server {
	t.Helper()
	v, err := auth.New(auth.Config{
		Account: account, CosmosKey: key("cosmos"), CosmosReadKey: key("reader"),
		StorageKey: key("storage"), MonitorToken: "token", Clock: now,
		CosmosResource: func(r *http.Request) (string, string) {
			return "docs", strings.TrimPrefix(r.URL.Path, "/")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(v.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g, ok := auth.GrantOf(r.Context()); ok && g.CreateOnly {
			w.Header().Set("x-create-only", "true")
		}
		w.WriteHeader(http.StatusOK)
	})))
	t.Cleanup(server.Close)
	return server
}

func mac(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// signCosmos signs as the vendor's clients do.
func signCosmos(r *http.Request, secret string, at time.Time) {
	date := strings.ToLower(at.UTC().Format(http.TimeFormat))
	text := strings.ToLower(r.Method) + "\ndocs\n" + strings.TrimPrefix(r.URL.Path, "/") + "\n" + date + "\n\n"
	r.Header.Set("x-ms-date", date)
	r.Header.Set("Authorization", url.QueryEscape("type=master&ver=1.0&sig="+mac(secret, text)))
}

func signBlob(r *http.Request, secret string, at time.Time) {
	r.Header.Set("x-ms-date", at.UTC().Format(http.TimeFormat))
	r.Header.Set("x-ms-version", "2024-08-04")
	text := r.Method + strings.Repeat("\n", 12) + "x-ms-date:" + r.Header.Get("x-ms-date") +
		"\nx-ms-version:2024-08-04\n/" + account + r.URL.EscapedPath()
	r.Header.Set("Authorization", "SharedKey "+account+":"+mac(secret, text))
}

func TestEveryRequestIsRefusedUnlessItVerifies(t *testing.T) {
	now := time.Now()
	server := front(t, func() time.Time { return now })
	far := now.Add(-auth.MaxSkew - time.Minute)
	tamper := func(r *http.Request) { r.URL.Path += "x" }
	for _, tc := range []struct {
		name, method, path string
		sign               func(*http.Request)
		status             int
		body               string
	}{
		{"cosmos, unsigned", "GET", "/dbs/d", nil, 401, `"code":"Unauthorized"`},
		{"cosmos, good", "GET", "/dbs/d", func(r *http.Request) { signCosmos(r, "cosmos", now) }, 200, ""},
		{"cosmos, account, good", "GET", "/", func(r *http.Request) { signCosmos(r, "cosmos", now) }, 200, ""},
		{"cosmos, wrong key", "GET", "/dbs/d", func(r *http.Request) { signCosmos(r, "wrong", now) }, 401, "Server used the following payload"},
		{"cosmos, old date", "GET", "/dbs/d", func(r *http.Request) { signCosmos(r, "cosmos", far) }, 403, `"code":"Forbidden"`},
		{"cosmos, future date", "GET", "/dbs/d", func(r *http.Request) { signCosmos(r, "cosmos", now.Add(time.Hour)) }, 403, "current server time"},
		{"cosmos, other path", "GET", "/dbs/d", func(r *http.Request) { signCosmos(r, "cosmos", now); tamper(r) }, 401, ""},
		{"cosmos, other method", "DELETE", "/dbs/d", func(r *http.Request) { signCosmos(r, "cosmos", now); r.Method = "GET" }, 401, ""},
		{"cosmos, nonsense", "GET", "/dbs/d", func(r *http.Request) { r.Header.Set("Authorization", "%zz") }, 401, ""},
		{"cosmos, token of another type", "GET", "/dbs/d", func(r *http.Request) { r.Header.Set("Authorization", "type%3Daad%26ver%3D1.0%26sig%3Dx") }, 401, ""},
		{"cosmos, reader reads", "GET", "/dbs/d", func(r *http.Request) { signCosmos(r, "reader", now) }, 200, ""},
		{"cosmos, reader writes", "PUT", "/dbs/d", func(r *http.Request) { signCosmos(r, "reader", now) }, 403, "read-only key"},
		{"cosmos, reader queries", "POST", "/dbs/d", func(r *http.Request) {
			signCosmos(r, "reader", now)
			r.Header.Set("Content-Type", "application/query+json")
		}, 200, ""},
		{"blob, unsigned", "GET", "/proalocal/c/b", nil, 401, "NoAuthenticationInformation"},
		{"blob, good", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "storage", now) }, 200, ""},
		{"blob, wrong key", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "wrong", now) }, 403, "AuthenticationFailed"},
		{"blob, key of another service", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "cosmos", now) }, 403, "AuthenticationFailed"},
		{"blob, old date", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "storage", far) }, 403, "Request date header too old"},
		{"blob, other path", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "storage", now); tamper(r) }, 403, "AuthenticationFailed"},
		{"blob, added query", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "storage", now); r.URL.RawQuery = "comp=list" }, 403, ""},
		{"blob, added header", "GET", "/proalocal/c/b", func(r *http.Request) { signBlob(r, "storage", now); r.Header.Set("x-ms-meta-a", "b") }, 403, ""},
		{"blob, bearer", "GET", "/proalocal/c/b", func(r *http.Request) { r.Header.Set("Authorization", "Bearer token") }, 403, "AuthenticationFailed"},
		{"monitor, unsigned", "GET", "/subscriptions/s", nil, 401, "AuthenticationFailed"},
		{"monitor, good", "GET", "/subscriptions/s", func(r *http.Request) { r.Header.Set("Authorization", "Bearer token") }, 200, ""},
		{"monitor, wrong token", "GET", "/subscriptions/s", func(r *http.Request) { r.Header.Set("Authorization", "Bearer tokem") }, 401, "InvalidAuthenticationToken"},
		{"monitor, empty token", "GET", "/subscriptions/s", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401, ""},
		{"nowhere", "GET", "/other/x", nil, 403, "AuthenticationFailed"},
		{"nowhere, signed", "GET", "/other/x", func(r *http.Request) { signBlob(r, "storage", now) }, 403, ""},
		{"an escaped separator", "GET", "/dbs%2Fx", func(r *http.Request) { signCosmos(r, "cosmos", now) }, 403, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tc.method, server.URL+tc.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if tc.sign != nil {
				tc.sign(r)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tc.status || !strings.Contains(string(body), tc.body) {
				t.Errorf("answered %s %s; want %d with %s", response.Status, body, tc.status, tc.body)
			}
		})
	}
}

func TestAServiceWithoutKeyRefusesEverything(t *testing.T) {
	v, err := auth.New(auth.Config{
		Account: account, Clock: time.Now,
		CosmosResource: func(*http.Request) (string, string) { return "docs", "dbs/d" },
	})
	if err != nil {
		t.Fatal(err)
	}
	h := v.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") }))
	for _, prepare := range []func(*http.Request){
		func(r *http.Request) { r.URL.Path = "/dbs/d"; signCosmos(r, "", time.Now()) },
		func(r *http.Request) { r.URL.Path = "/proalocal/c/b"; signBlob(r, "", time.Now()) },
		func(r *http.Request) {
			r.URL.Path = "/subscriptions/s"
			r.Header.Set("Authorization", "Bearer ")
		},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		prepare(r)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// query asks for a URL that carries a shared access signature.
func query(t *testing.T, method, address string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("x-ms-error-code"), response.Header
}

func TestServiceSignaturesOpenWhatTheySay(t *testing.T) {
	now := time.Now()
	server := front(t, func() time.Time { return now })
	cred, err := azblob.NewSharedKeyCredential(account, key("storage"))
	if err != nil {
		t.Fatal(err)
	}
	good := sas.BlobSignatureValues{
		ContainerName: "c", BlobName: "a b/ä", Permissions: "r", ExpiryTime: now.Add(time.Hour).UTC(),
		StartTime: now.Add(-time.Hour).UTC(), ContentType: "text/x",
	}
	change := func(f func(*sas.BlobSignatureValues)) sas.BlobSignatureValues {
		v := good
		f(&v)
		return v
	}
	for _, tc := range []struct {
		name, method, path string
		values             sas.BlobSignatureValues
		status             int
		code               string
	}{
		{"read", "GET", "c/a%20b%2F%C3%A4", good, 200, ""},
		{"another blob", "GET", "c/other", good, 403, "AuthenticationFailed"},
		{"another method", "PUT", "c/a%20b/%C3%A4", good, 403, "AuthorizationPermissionMismatch"},
		{"expired", "GET", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.ExpiryTime = now.Add(-time.Second).UTC() }), 403, "AuthenticationFailed"},
		{"not yet", "GET", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.StartTime = now.Add(time.Minute).UTC() }), 403, "AuthenticationFailed"},
		{"https only", "GET", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.Protocol = sas.ProtocolHTTPS }), 403, "AuthorizationProtocolMismatch"},
		{"either protocol", "GET", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.Protocol = sas.ProtocolHTTPSandHTTP }), 200, ""},
		{"this address", "GET", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.IPRange.Start = []byte{127, 0, 0, 1} }), 200, ""},
		{"another address", "GET", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) {
			v.IPRange.Start, v.IPRange.End = []byte{10, 0, 0, 1}, []byte{10, 0, 0, 9}
		}), 403, "AuthorizationSourceIPMismatch"},
		{"create", "PUT", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.Permissions = "c" }), 200, ""},
		{"delete with write", "DELETE", "c/a%20b/%C3%A4", change(func(v *sas.BlobSignatureValues) { v.Permissions = "rcw" }), 403, "AuthorizationPermissionMismatch"},
		{"container, any blob", "GET", "c/x", change(func(v *sas.BlobSignatureValues) { v.BlobName = "" }), 200, ""},
		{"container, another", "GET", "d/x", change(func(v *sas.BlobSignatureValues) { v.BlobName = "" }), 403, "AuthenticationFailed"},
		{"container, list", "GET", "c?restype=container&comp=list", change(func(v *sas.BlobSignatureValues) { v.BlobName, v.Permissions = "", "l" }), 200, ""},
		{"container, list without l", "GET", "c?restype=container&comp=list", change(func(v *sas.BlobSignatureValues) { v.BlobName = "" }), 403, "AuthorizationPermissionMismatch"},
		{"container, delete it", "DELETE", "c?restype=container", change(func(v *sas.BlobSignatureValues) { v.BlobName, v.Permissions = "", "rwdl" }), 403, "AuthorizationPermissionMismatch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signed, err := tc.values.SignWithSharedKey(cred)
			if err != nil {
				t.Fatal(err)
			}
			join := "?"
			if strings.Contains(tc.path, "?") {
				join = "&"
			}
			address := server.URL + "/" + account + "/" + tc.path + join + signed.Encode()
			status, code, h := query(t, tc.method, address)
			if status != tc.status || code != tc.code {
				t.Errorf("answered %d %s; want %d %s", status, code, tc.status, tc.code)
			}
			if tc.name == "create" && h.Get("x-create-only") == "" {
				t.Error("the grant allows to replace")
			}
			tampered := strings.Replace(address, "sp="+tc.values.Permissions, "sp=racwd", 1)
			if status, _, _ := query(t, tc.method, tampered); status == 200 {
				t.Error("permissions can be widened")
			}
		})
	}
}

func TestAccountSignaturesOpenWhatTheySay(t *testing.T) {
	now := time.Now()
	server := front(t, func() time.Time { return now })
	cred, err := azblob.NewSharedKeyCredential(account, key("storage"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		types, permissions, method, path string
		status                           int
		code                             string
	}{
		{"sco", "rl", "GET", "?comp=list", 200, ""},
		{"co", "rl", "GET", "?comp=list", 403, "AuthorizationResourceTypeMismatch"},
		{"sco", "r", "GET", "/c?restype=container&comp=list", 403, "AuthorizationPermissionMismatch"},
		{"o", "r", "GET", "/c/b", 200, ""},
		{"c", "r", "GET", "/c/b", 403, "AuthorizationResourceTypeMismatch"},
		{"o", "w", "PUT", "/c/b", 200, ""},
		{"o", "r", "DELETE", "/c/b", 403, "AuthorizationPermissionMismatch"},
		{"c", "c", "PUT", "/c?restype=container", 200, ""},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			signed, err := sas.AccountSignatureValues{
				Permissions: tc.permissions, ResourceTypes: tc.types,
				ExpiryTime: now.Add(time.Hour).UTC(),
			}.SignWithSharedKey(cred)
			if err != nil {
				t.Fatal(err)
			}
			join := "?"
			if strings.Contains(tc.path, "?") {
				join = "&"
			}
			status, code, _ := query(t, tc.method,
				server.URL+"/"+account+tc.path+join+signed.Encode())
			if status != tc.status || code != tc.code {
				t.Errorf("answered %d %s; want %d %s", status, code, tc.status, tc.code)
			}
		})
	}
}

func TestUserDelegationAndStoredPoliciesAreRefused(t *testing.T) {
	server := front(t, time.Now)
	for _, extra := range []string{"skoid=x", "si=policy"} {
		status, code, _ := query(t, http.MethodGet, server.URL+"/"+account+
			"/c/b?sv=2024-08-04&sr=b&sp=r&se=2999-01-01&sig=x&"+extra)
		if status != http.StatusForbidden || code != "AuthenticationFailed" {
			t.Errorf("%s: answered %d %s", extra, status, code)
		}
	}
}

func TestSharedKeyLiteIsVerified(t *testing.T) {
	server := front(t, time.Now)
	for secret, want := range map[string]int{"storage": 200, "wrong": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			server.URL+"/"+account+"/c?restype=container&comp=list", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
		text := "GET\n\n\n\nx-ms-date:" + r.Header.Get("x-ms-date") + "\n/" + account + "/" + account +
			"/c?comp=list"
		r.Header.Set("Authorization", "SharedKeyLite "+account+":"+mac(secret, text))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: answered %s", secret, response.Status)
		}
	}
}

// The vendor's client signs metadata headers in .NET's order of names.
func TestTheVendorsClientSignsAnyMetadata(t *testing.T) {
	server := front(t, time.Now)
	cred, err := azblob.NewSharedKeyCredential(account, key("storage"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(server.URL+"/"+account, cred,
		&azblob.ClientOptions{ClientOptions: azcore.ClientOptions{
			Retry: policy.RetryOptions{MaxRetries: -1},
		}})
	if err != nil {
		t.Fatal(err)
	}
	meta := map[string]*string{}
	value := "value"
	for _, name := range []string{"a", "a_b", "a1", "_a", "ab", "A_c", "zz", "z_z", "x0", "x_0"} {
		meta[name] = &value
	}
	_, err = client.ServiceClient().NewContainerClient("c").NewBlobClient("b").
		SetMetadata(t.Context(), meta, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestKeysThatAreNoneAreRefusedAtStart(t *testing.T) {
	resource := func(*http.Request) (string, string) { return "", "" }
	for _, c := range []auth.Config{
		{Account: "dbs", Clock: time.Now, CosmosResource: resource},
		{Account: "", Clock: time.Now, CosmosResource: resource},
		{Account: account, Clock: time.Now, CosmosResource: resource, StorageKey: "not base64"},
		{Account: account, CosmosResource: resource},
	} {
		if _, err := auth.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
