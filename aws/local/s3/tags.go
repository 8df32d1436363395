package s3

import (
	"encoding/xml"
	"fmt"
	"net/http"

	"github.com/proa-cloud/proa/internal/store"
)

func (s *Server) getTags(w http.ResponseWriter, _ *http.Request, t target) error {
	o, err := s.readable(w, t)
	if err != nil {
		return err
	}
	s.versionHeader(w.Header(), o)
	d := newXML("Tagging")
	d.open("TagSet")
	for _, x := range o.Tags {
		d.open("Tag")
		d.leaf("Key", x.Key)
		d.leaf("Value", x.Value)
		d.close("Tag")
	}
	d.close("TagSet")
	d.send(w, "Tagging")
	return nil
}

func (s *Server) putTags(w http.ResponseWriter, r *http.Request, t target) error {
	var in struct {
		XMLName xml.Name `xml:"Tagging"`
		Tags    []tag    `xml:"TagSet>Tag"`
	}
	if err := readXML(r, &in); err != nil {
		return err
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	return s.setTags(w, t, in.Tags, http.StatusOK)
}

func (s *Server) deleteTags(w http.ResponseWriter, _ *http.Request, t target) error {
	return s.setTags(w, t, nil, http.StatusNoContent)
}

// setTags replaces the tags of one version; nothing else of it changes.
func (s *Server) setTags(w http.ResponseWriter, t target, tags []tag, status int) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, err := s.bucketLocked(t.bucket); err != nil {
		return err
	}
	defer s.lockKey(t.bucket, t.key)()
	o, at, err := s.find(t)
	switch {
	case err != nil:
		return err
	case o == nil && t.version != "":
		return noSuchVersion(t.key, t.version)
	case o == nil, o.Marker && t.version == "":
		return noSuchKey(t.key)
	case o.Marker:
		return methodNotAllowed(http.MethodPut, "DeleteMarker")
	}
	o.Tags = tags
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	if err := put(batch, at, o); err != nil {
		return err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return fmt.Errorf("commit tags: %w", err)
	}
	s.versionHeader(w.Header(), o)
	w.WriteHeader(status)
	return nil
}
