package blob

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// maxBlockListXML is the largest body of Put Block List: 50,000 of the longest entries fit twice.
const maxBlockListXML = 16 << 20

// putBlock is Put Block, and Put Block From URL:
// https://learn.microsoft.com/rest/api/storageservices/put-block.
func (c *call) putBlock() error {
	text := c.get("blockid")
	if text == "" {
		return missingQuery("blockid")
	}
	id, err := decodeBlockID(text)
	if err != nil {
		return err
	}
	if _, err := c.s.container(c.container); err != nil {
		return err
	}
	var content staged
	var sum []byte
	if source := c.header("x-ms-copy-source"); source != "" {
		content, sum, err = c.blockFromURL(source)
	} else if c.r.ContentLength == 0 {
		err = invalidHeader("Content-Length", "0")
	} else {
		content, sum, err = c.body(maxPutBlock, false, "Content-MD5")
	}
	if err != nil {
		return err
	}
	content.Block = base64.StdEncoding.EncodeToString(id)
	if err := c.addBlock(string(id), content); err != nil {
		c.s.contents.remove([]segment{content.segment})
		return err
	}
	h := c.w.Header()
	if c.header("Content-MD5") != "" {
		h.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum))
	}
	h.Set("x-ms-content-crc64", crcText(content.CRC))
	h.Set("x-ms-request-server-encrypted", "true")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// decodeBlockID reads a block id: base64, in the one form that encoding gives, of at most 64 bytes.
func decodeBlockID(text string) ([]byte, error) {
	id, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, invalidQuery("blockid", text, "Not a valid base64 string.")
	}
	if len(id) == 0 || len(id) > maxBlockID {
		return nil, badRequest("OutOfRangeInput", "One of the request inputs is out of range.")
	}
	return id, nil
}

// addBlock records an uncommitted block in the place of one of the same id.
func (c *call) addBlock(id string, content staged) error {
	return c.s.change(c.container, c.blob, func(t *tx) error {
		p, err := t.pending()
		if err != nil {
			return err
		}
		if refusal := c.allowBlock(t, p, len(id)); refusal != nil {
			return refusal
		}
		if p == nil {
			p = &pending{IDLength: len(id)}
		}
		var old block
		replaced, err := t.s.load(t.key(kindBlock, id), &old)
		if err != nil {
			return err
		}
		if replaced {
			t.dead = append(t.dead, old.Segment)
			p.Count, p.Bytes = p.Count-1, p.Bytes-old.Segment.Size
		}
		p.Count, p.Bytes, p.Last = p.Count+1, p.Bytes+content.Size, c.now
		if p.Count > maxUncommitted {
			return conflict("BlockCountExceedsLimit", "The uncommitted block count cannot exceed "+
				"the maximum limit of 100,000 blocks.")
		}
		if err := content.into(t.batch); err != nil {
			return err
		}
		b := block{Segment: content.segment, Put: c.now}
		if err := t.batch.Set(t.key(kindBlock, id), encode(&b), nil); err != nil {
			return err
		}
		return t.batch.Set(t.key(kindPending, ""), encode(p), nil)
	})
}

// allowBlock checks lease, type and that all block ids of the blob are equally long.
func (c *call) allowBlock(t *tx, p *pending, idLength int) *auth.StorageError {
	if t.cur != nil {
		if t.cur.Type != blockBlob {
			return invalidBlobType()
		}
		if refusal := t.cur.Lease.guard(c.header("x-ms-lease-id"), "Blob", c.now, false); refusal != nil {
			return refusal
		}
	}
	want := idLength
	if p != nil {
		want = p.IDLength
	} else if t.cur != nil && len(t.cur.Segments) > 0 && t.cur.Segments[0].Block != "" {
		first, _ := base64.StdEncoding.DecodeString(t.cur.Segments[0].Block)
		want = len(first)
	}
	if want != idLength {
		return badRequest("InvalidBlobOrBlock", "The specified blob or block content is invalid.")
	}
	return nil
}

// listed is one entry of a block list: where to look, and the block id decoded.
type listed struct {
	from string // Committed, Uncommitted or Latest
	id   string
}

// parseBlockList reads the body of Put Block List.
func parseBlockList(body io.Reader) ([]listed, error) {
	decoder := xml.NewDecoder(body)
	var out []listed
	depth, from, text := 0, "", strings.Builder{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && depth == 0 && from == "done" {
			return out, nil
		}
		if err != nil {
			return nil, invalidXML(err.Error())
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			name := e.Name.Local
			if depth == 1 && name != "BlockList" || depth == 2 && name != "Latest" &&
				name != "Committed" && name != "Uncommitted" || depth > 2 {
				return nil, invalidXML("unexpected element " + name)
			}
			from = name
			text.Reset()
		case xml.CharData:
			if depth == 2 {
				text.Write(e)
			}
		case xml.EndElement:
			depth--
			if depth == 0 {
				from = "done"
				continue
			}
			id, err := decodeBlockID(strings.TrimSpace(text.String()))
			if err != nil {
				return nil, badRequest("InvalidBlockId",
					"The specified block ID is invalid. The block ID must be Base64-encoded.")
			}
			if len(out) == maxBlocks {
				return nil, badRequest("BlockListTooLong",
					"The block list may not contain more than 50,000 blocks.")
			}
			out = append(out, listed{from, string(id)})
		}
	}
}

// putBlockList is Put Block List:
// https://learn.microsoft.com/rest/api/storageservices/put-block-list.
func (c *call) putBlockList() error {
	entries, err := c.readBlockList()
	if err != nil {
		return err
	}
	meta, refusal := metadataOf(c.r.Header)
	if refusal != nil {
		return refusal
	}
	w, refusal := c.writing()
	if refusal != nil {
		return refusal
	}
	sums, refusal := checksumsOf(http.Header{
		"X-Ms-Blob-Content-Md5": c.r.Header["X-Ms-Blob-Content-Md5"],
	}, "x-ms-blob-content-md5")
	if refusal != nil {
		return refusal
	}
	r := &record{
		Type: blockBlob, MD5: sums.md5, Meta: meta, Headers: headersOf(c.r.Header, false),
		Tier: c.header("x-ms-access-tier"),
	}
	if err := c.commitList(w, r, entries); err != nil {
		return err
	}
	c.created(r)
	return nil
}

func (c *call) readBlockList() ([]listed, error) {
	sums, refusal := checksumsOf(c.r.Header, "Content-MD5")
	if refusal != nil {
		return nil, refusal
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, maxBlockListXML+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBlockListXML {
		return nil, bodyTooLarge(strconv.Itoa(maxBlockListXML))
	}
	sum := md5.Sum(body)
	crc := c.s.crc.sum(body)
	if refusal := sums.verify(sum[:], crc); refusal != nil {
		return nil, refusal
	}
	c.w.Header().Set("x-ms-content-crc64", crcText(crc))
	return parseBlockList(bytes.NewReader(body))
}

func (c *call) commitList(w write, r *record, entries []listed) error {
	var fresh []segment // clones made here, ours until the commit
	err := c.s.change(c.container, c.blob, func(t *tx) error {
		if refusal := w.allow(t.cur, c.now); refusal != nil {
			return refusal
		}
		if t.cur != nil && t.cur.Type != blockBlob {
			return invalidBlobType()
		}
		chosen, reused, err := t.resolve(entries)
		if err != nil {
			return err
		}
		r.Segments = chosen
		var inline []staged
		if t.s.versioning && reused {
			// The old state stays as a version and keeps its segments.
			if fresh, inline, err = t.s.contents.clone(chosen); err != nil {
				return err
			}
			r.Segments, chosen = fresh, nil
		}
		for _, s := range r.Segments {
			r.CRC = t.s.crc.join(r.CRC, s.CRC, s.Size)
			r.Size += s.Size
		}
		err = t.install(r, c.now, chosen, inline...)
		if t.event != nil {
			t.event.API = "PutBlockList"
		}
		return err
	})
	if err != nil {
		c.s.contents.remove(fresh)
	}
	return err
}

// resolve finds the segment of each entry; reused says that some belong to the committed state.
func (t *tx) resolve(entries []listed) (chosen []segment, reused bool, err error) {
	committed := map[string]segment{}
	if t.cur != nil {
		for _, s := range t.cur.Segments {
			if id, err := base64.StdEncoding.DecodeString(s.Block); err == nil && s.Block != "" {
				committed[string(id)] = s
			}
		}
	}
	uncommitted := map[string]segment{}
	err = t.s.blocks(t.uid, t.name, func(id string, b block) error {
		uncommitted[id] = b.Segment
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		s, found := uncommitted[e.id]
		if e.from == "Committed" {
			found = false
		}
		if !found && e.from != "Uncommitted" {
			s, found = committed[e.id]
			reused = true
		}
		if !found {
			return nil, false, badRequest("InvalidBlockList", "The specified block list is invalid.")
		}
		chosen = append(chosen, s)
	}
	return chosen, reused, nil
}

// getBlockList is Get Block List.
func (c *call) getBlockList() error {
	kind := strings.ToLower(c.get("blocklisttype"))
	if kind == "" {
		kind = "committed"
	}
	if kind != "committed" && kind != "uncommitted" && kind != "all" {
		return invalidQuery("blocklisttype", kind, "Not one of the allowed values.")
	}
	owner, r, err := c.find()
	if err != nil && !isCode(err, "BlobNotFound") {
		return err
	}
	var blocks []segment
	if err := c.s.blocks(owner.UID, c.blob, func(_ string, b block) error {
		blocks = append(blocks, b.Segment)
		return nil
	}); err != nil {
		return err
	}
	if r == nil && len(blocks) == 0 {
		return blobNotFound()
	}
	var b bytes.Buffer
	b.WriteString(xmlHead + "<BlockList>")
	size := int64(0)
	if r != nil {
		if r.Type != blockBlob {
			return invalidBlobType()
		}
		if refusal := r.Lease.guard(c.header("x-ms-lease-id"), "Blob", c.now, true); refusal != nil {
			return refusal
		}
		stamp(c.w.Header(), r.Tick, r.Modified)
		size = r.Size
	}
	if kind != "uncommitted" {
		var committed []segment
		if r != nil {
			committed = r.Segments
		}
		writeBlocks(&b, "CommittedBlocks", committed)
	}
	if kind != "committed" {
		writeBlocks(&b, "UncommittedBlocks", blocks)
	}
	b.WriteString("</BlockList>")
	c.w.Header().Set("x-ms-blob-content-length", strconv.FormatInt(size, 10))
	return c.writeXML(b.Bytes())
}

func writeBlocks(b *bytes.Buffer, name string, blocks []segment) {
	b.WriteString("<" + name + ">")
	for _, s := range blocks {
		if s.Block == "" {
			continue // the body of a Put Blob has no block ids
		}
		b.WriteString("<Block><Name>" + s.Block + "</Name><Size>" +
			strconv.FormatInt(s.Size, 10) + "</Size></Block>")
	}
	b.WriteString("</" + name + ">")
}
