package blob

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// xmlHead begins every XML body; the vendor's have a byte order mark.
const xmlHead = "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>"

// page is the XML of one listing.
type page struct{ bytes.Buffer }

func (c *call) writeXML(body []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	_, err := c.w.Write(body)
	return err
}

func (p *page) begin(c *call, attribute, value string) {
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	p.WriteString(xmlHead + `<EnumerationResults ServiceEndpoint="`)
	p.text(scheme + "://" + c.r.Host + "/" + c.s.account + "/")
	p.WriteString(`"`)
	if attribute != "" {
		p.WriteString(" " + attribute)
		p.text(value)
		p.WriteString(`"`)
	}
	p.WriteString(">")
}

// echo repeats the parameters of the request that were given.
func (p *page) echo(c *call, prefix string, limit int, delimiter string) {
	p.optional("Prefix", prefix)
	p.optional("Marker", c.get("marker"))
	if c.get("maxresults") != "" {
		p.element("MaxResults", strconv.Itoa(limit))
	}
	p.optional("Delimiter", delimiter)
}

func (p *page) finish(next []byte) {
	if next == nil {
		p.WriteString("<NextMarker />")
	} else {
		p.element("NextMarker", writeMarker(next))
	}
	p.WriteString("</EnumerationResults>")
}

func (p *page) text(s string) { _ = xml.EscapeText(p, []byte(s)) }

func (p *page) element(name, text string) {
	p.WriteString("<" + name + ">")
	p.text(text)
	p.WriteString("</" + name + ">")
}

func (p *page) optional(name, text string) {
	if text != "" {
		p.element(name, text)
	}
}

// name writes a blob's name; one with characters that XML cannot hold is percent-encoded, and says
// so.
func (p *page) name(name string) {
	if strings.ContainsFunc(name, notXML) {
		p.WriteString(`<Name Encoded="true">`)
		p.text(url.PathEscape(name))
		p.WriteString("</Name>")
		return
	}
	p.element("Name", name)
}

// notXML reports whether XML 1.0 forbids a character. Carriage returns would come back as line
// feeds.
func notXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' || r == 0xfffe || r == 0xffff
}

func (p *page) prefix(group string) {
	p.WriteString("<BlobPrefix>")
	p.name(group)
	p.WriteString("</BlobPrefix>")
}

func (p *page) uncommitted(name string) {
	p.WriteString("<Blob>")
	p.name(name)
	p.WriteString("<Properties><Content-Length>0</Content-Length><BlobType>BlockBlob</BlobType>" +
		"<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>" +
		"</Properties><OrMetadata /></Blob>")
}

func (p *page) blob(l *listing, name string, kind byte, suffix string, r *record) {
	p.WriteString("<Blob>")
	p.name(name)
	switch kind {
	case kindSnapshot:
		p.element("Snapshot", suffix)
	case kindVersion:
		p.element("VersionId", suffix)
	case kindCurrent:
		if l.versions && r.Version != "" {
			p.element("VersionId", r.Version)
			p.element("IsCurrentVersion", "true")
		}
	}
	p.WriteString("<Properties>")
	p.element("Creation-Time", r.Created.UTC().Format(http.TimeFormat))
	p.element("Last-Modified", r.Modified.UTC().Format(http.TimeFormat))
	p.element("Etag", strings.Trim(etagOf(r.Tick), `"`))
	p.element("Content-Length", strconv.FormatInt(r.Size, 10))
	p.element("Content-Type", r.Headers.Type)
	p.element("Content-Encoding", r.Headers.Encoding)
	p.element("Content-Language", r.Headers.Language)
	p.WriteString("<Content-CRC64 />")
	p.element("Content-MD5", base64.StdEncoding.EncodeToString(r.MD5))
	p.element("Cache-Control", r.Headers.Cache)
	p.element("Content-Disposition", r.Headers.Disposition)
	p.element("BlobType", r.Type)
	p.tier(r)
	if kind == kindCurrent {
		p.lease(r.Lease, l.c.now)
	}
	if r.Copy != nil {
		p.element("CopyId", r.Copy.ID)
		p.element("CopySource", r.Copy.Source)
		p.element("CopyStatus", "success")
		p.element("CopyProgress", strconv.FormatInt(r.Size, 10)+"/"+strconv.FormatInt(r.Size, 10))
		p.element("CopyCompletionTime", r.Copy.Done.UTC().Format(http.TimeFormat))
	}
	p.WriteString("<ServerEncrypted>true</ServerEncrypted></Properties>")
	if l.metadata {
		p.metadata(r.Meta)
	}
	p.WriteString("<OrMetadata /></Blob>")
}

func (p *page) tier(r *record) {
	switch {
	case r.Type != blockBlob:
	case r.Tier == "":
		p.WriteString("<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>")
	default:
		p.element("AccessTier", r.Tier)
		if !r.TierTime.IsZero() {
			p.element("AccessTierChangeTime", r.TierTime.UTC().Format(http.TimeFormat))
		}
	}
}

func (p *page) lease(l *lease, now time.Time) {
	state, status, duration := l.look(now)
	p.element("LeaseStatus", status)
	p.element("LeaseState", state)
	p.optional("LeaseDuration", duration)
}

func (p *page) metadata(meta map[string]string) {
	p.WriteString("<Metadata>")
	names := make([]string, 0, len(meta))
	for name := range meta {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p.element(name, meta[name])
	}
	p.WriteString("</Metadata>")
}

func (p *page) container(name string, owner *container, metadata bool, now time.Time) {
	p.WriteString("<Container>")
	p.element("Name", name)
	p.WriteString("<Properties>")
	p.element("Last-Modified", owner.Modified.UTC().Format(http.TimeFormat))
	p.element("Etag", etagOf(owner.Tick))
	p.lease(owner.Lease, now)
	p.WriteString("<DefaultEncryptionScope>$account-encryption-key</DefaultEncryptionScope>" +
		"<DenyEncryptionScopeOverride>false</DenyEncryptionScopeOverride>" +
		"<HasImmutabilityPolicy>false</HasImmutabilityPolicy><HasLegalHold>false</HasLegalHold>" +
		"</Properties>")
	if metadata {
		p.metadata(owner.Meta)
	}
	p.WriteString("</Container>")
}
