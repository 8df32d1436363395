package orders

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// MaxAttachment is the largest attachment that passes through every gateway, both ways. The narrowest is Lambda's payload of 6 MB (6,291,556
// bytes), which holds the body in base64 beside the headers; API Gateway itself takes 10 MB.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const MaxAttachment = 4_600_000

var tooLarge = fmt.Sprintf("an attachment has at most %d bytes, which is what a Lambda behind API Gateway can carry; "+
	"larger ones go through the bucket itself", MaxAttachment)

// sumName is the metadata name of an attachment's SHA-256, which is its ETag on both sides: the stores' own ETags differ.
const sumName = "sha256"

func tagOf(info cloud.ObjectInfo) string {
	if sum := info.Metadata[sumName]; sum != "" {
		return `"` + sum + `"`
	}
	return info.ETag
}

func (a *app) attach(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	if r.ContentLength > MaxAttachment {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", tooLarge)
		return
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxAttachment))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", tooLarge)
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, "incomplete", "the body ended early")
		return
	}
	if _, err := a.table.Get(r.Context(), key(id)); err != nil {
		a.fail(w, r, err)
		return
	}
	a.store(w, r, id, content)
}

func (a *app) store(w http.ResponseWriter, r *http.Request, id string, content []byte) {
	o, err := a.putOptions(r, id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	sum := sha256.Sum256(content)
	o.ContentType = r.Header.Get("Content-Type")
	if o.ContentType == "" {
		o.ContentType = "application/octet-stream"
	}
	o.Metadata = map[string]string{sumName: hex.EncodeToString(sum[:])}
	info, err := a.bucket.Put(r.Context(), id, bytes.NewReader(content), int64(len(content)), o)
	if errors.Is(err, proa.ErrConflict) && (o.IfMatch != "" || o.IfNoneMatch) {
		err = errPrecondition
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("ETag", tagOf(info))
	writeJSON(w, http.StatusOK, map[string]any{
		"id": id, "size": len(content), "content_type": o.ContentType, "sha256": hex.EncodeToString(sum[:]),
	})
}

// putOptions turns the request's conditions on our ETag into conditions on the store's.
func (a *app) putOptions(r *http.Request, id string) (cloud.PutOptions, error) {
	var o cloud.PutOptions
	o.IfNoneMatch = r.Header.Get("If-None-Match") == "*"
	ifMatch := r.Header.Get("If-Match")
	if ifMatch == "" {
		return o, nil
	}
	info, err := a.bucket.Head(r.Context(), id)
	if errors.Is(err, proa.ErrNotFound) || err == nil && !matches(ifMatch, tagOf(info)) {
		return o, errPrecondition
	}
	o.IfMatch = info.ETag
	return o, err
}

func (a *app) download(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	// A body that is not wanted after all is not transferred.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	info, body, err := a.bucket.Get(ctx, id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer body.Close()
	if header := r.Header.Get("If-None-Match"); header != "" && matches(header, tagOf(info)) {
		w.Header().Set("ETag", tagOf(info))
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if info.Size > MaxAttachment {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", tooLarge)
		return
	}
	describeObject(w, info)
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(w, body); err != nil {
		a.log(r, err)
		panic(http.ErrAbortHandler) // the status has gone out: only a cut connection tells that the content is incomplete
	}
}

func (a *app) describe(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	info, err := a.bucket.Head(r.Context(), id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	describeObject(w, info)
	w.WriteHeader(http.StatusOK)
}

// describeObject sets the headers of an attachment. It is served as it was stored but never run: it is a stranger's content.
func describeObject(w http.ResponseWriter, info cloud.ObjectInfo) {
	h := w.Header()
	h.Set("ETag", tagOf(info))
	h.Set("Content-Type", info.ContentType)
	h.Set("Content-Length", strconv.FormatInt(info.Size, 10))
	h.Set("Last-Modified", info.LastModified.UTC().Format(http.TimeFormat))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if sum, err := hex.DecodeString(info.Metadata[sumName]); err == nil && len(sum) == sha256.Size {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":") // RFC 9530
	}
}

func (a *app) detach(w http.ResponseWriter, r *http.Request) {
	id, ok := orderID(w, r)
	if !ok {
		return
	}
	if err := a.bucket.Delete(r.Context(), id, ""); err != nil {
		a.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
