package s3

import (
	"net/http"
	"strconv"
	"strings"
)

// getAttributes answers GetObjectAttributes.
func (s *Server) getAttributes(w http.ResponseWriter, r *http.Request, t target) error {
	asked := map[string]bool{}
	for name := range strings.SplitSeq(strings.Join(r.Header.Values("X-Amz-Object-Attributes"), ","),
		",") {
		switch name = strings.TrimSpace(name); name {
		case "ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize":
			asked[name] = true
		case "":
			return invalidRequest("The x-amz-object-attributes header specifying the attributes to be " +
				"retrieved is either " +
				"missing or empty")
		default:
			return invalidArgument("x-amz-object-attributes", name, "Invalid attribute name specified.")
		}
	}
	o, err := s.readable(w, t)
	if err != nil {
		return err
	}
	s.versionHeader(w.Header(), o)
	w.Header().Set("Last-Modified", httpTime(o.Modified))
	d := newXML("GetObjectAttributesResponse")
	if asked["ETag"] {
		d.leaf("ETag", o.ETag)
	}
	if asked["Checksum"] {
		d.open("Checksum")
		o.Sums.leaves(d)
		kind := o.Sums.Type
		if kind == "" {
			kind = typeFull
		}
		d.leaf("ChecksumType", kind)
		d.close("Checksum")
	}
	if asked["ObjectParts"] && o.Parts > 0 {
		if err := s.partLeaves(d, r, o); err != nil {
			return err
		}
	}
	if asked["StorageClass"] {
		d.leaf("StorageClass", storageClass(o))
	}
	if asked["ObjectSize"] {
		d.int("ObjectSize", o.Size)
	}
	d.send(w, "GetObjectAttributesResponse")
	return nil
}

func (s *Server) partLeaves(d *xmlDoc, r *http.Request, o *object) error {
	limit, err := intParam("x-amz-max-parts", r.Header.Get("X-Amz-Max-Parts"), maxList, maxList)
	if err != nil {
		return err
	}
	marker, err := intParam("x-amz-part-number-marker", r.Header.Get("X-Amz-Part-Number-Marker"), 0,
		maxParts)
	if err != nil {
		return err
	}
	segments, err := s.segments(o.Body)
	if err != nil {
		return err
	}
	from := min(marker, len(segments))
	to := min(from+limit, len(segments))
	d.open("ObjectParts")
	d.leaf("PartsCount", strconv.Itoa(len(segments)))
	d.int("PartNumberMarker", int64(marker))
	d.int("NextPartNumberMarker", int64(to))
	d.int("MaxParts", int64(limit))
	d.bool("IsTruncated", to < len(segments))
	for i := from; i < to; i++ {
		d.open("Part")
		d.int("PartNumber", int64(i+1))
		d.int("Size", segments[i].Size)
		segments[i].Sums.leaves(d)
		d.close("Part")
	}
	d.close("ObjectParts")
	return nil
}
