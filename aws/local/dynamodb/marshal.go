package dynamodb

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa"
)

const null = "null"

// marshal writes an answer as JSON without escaping for HTML, which would only cost room. Items, which are most of the answers
// that are asked for most, are written at once: encoding/json would check and copy again what their MarshalJSON gives.
func marshal(v any) ([]byte, error) { return appendJSON(make([]byte, 0, sizeHint(v)), v) }

// sizeHint is about how long an answer will be, so that its buffer need not grow.
func sizeHint(v any) int {
	const head, perRecord = 256, 640
	switch v := v.(type) {
	case *writeOutput:
		if v != nil {
			return head + itemSize(v.Attributes)
		}
	case map[string]any:
		records, _ := v["Records"].([]wireRecord)
		size := head + perRecord*len(records)
		for i := range records {
			size += records[i].DynamoDB.SizeBytes
		}
		item, _ := v["Item"].(proa.Item)
		return size + itemSize(item)
	}
	return head
}

func appendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case proa.Item:
		if v == nil {
			return append(b, null...), nil
		}
		return v.AppendJSON(b), nil
	case map[string]any:
		return appendObject(b, v)
	case *writeOutput:
		if v == nil {
			return append(b, null...), nil
		}
		fields := make(map[string]any, 2)
		if len(v.Attributes) > 0 {
			fields["Attributes"] = v.Attributes
		}
		if v.ConsumedCapacity != nil {
			fields["ConsumedCapacity"] = v.ConsumedCapacity
		}
		return appendObject(b, fields)
	case []wireRecord:
		return appendArray(b, v)
	case []proa.Item:
		return appendArray(b, v)
	case wireRecord:
		return v.appendJSON(b)
	case string:
		if isPlain(v) {
			return appendPlain(b, v), nil
		}
	}
	return appendAny(b, v)
}

// appendAny leaves a value to encoding/json.
func appendAny(b []byte, v any) ([]byte, error) {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return append(b, strings.TrimSuffix(text.String(), "\n")...), nil
}

func appendObject(b []byte, fields map[string]any) (_ []byte, err error) {
	if fields == nil {
		return append(b, null...), nil
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, name); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), fields[name]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendArray[E any](b []byte, elements []E) (_ []byte, err error) {
	if elements == nil {
		return append(b, null...), nil
	}
	b = append(b, '[')
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, e); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (r *wireRecord) appendJSON(b []byte) ([]byte, error) {
	d := &r.DynamoDB
	for _, s := range []string{
		r.EventID, r.EventName, r.EventVersion, r.EventSource, r.AWSRegion, d.SequenceNumber, d.StreamViewType,
	} {
		if !isPlain(s) {
			return appendAny(b, r)
		}
	}
	b = appendPlain(append(b, `{"eventID":`...), r.EventID)
	b = appendPlain(append(b, `,"eventName":`...), r.EventName)
	b = appendPlain(append(b, `,"eventVersion":`...), r.EventVersion)
	b = appendPlain(append(b, `,"eventSource":`...), r.EventSource)
	b = appendPlain(append(b, `,"awsRegion":`...), r.AWSRegion)
	b = append(b, `,"dynamodb":{"ApproximateCreationDateTime":`...)
	b = strconv.AppendInt(b, d.ApproximateCreationDateTime, 10)
	b, err := appendJSON(append(b, `,"Keys":`...), d.Keys)
	if err != nil {
		return nil, err
	}
	if len(d.NewImage) > 0 {
		b = d.NewImage.AppendJSON(append(b, `,"NewImage":`...))
	}
	if len(d.OldImage) > 0 {
		b = d.OldImage.AppendJSON(append(b, `,"OldImage":`...))
	}
	b = appendPlain(append(b, `,"SequenceNumber":`...), d.SequenceNumber)
	b = strconv.AppendInt(append(b, `,"SizeBytes":`...), int64(d.SizeBytes), 10)
	b = append(appendPlain(append(b, `,"StreamViewType":`...), d.StreamViewType), '}')
	if len(r.UserIdentity) > 0 {
		if b, err = appendAny(append(b, `,"userIdentity":`...), r.UserIdentity); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// isPlain reports whether a text needs no escapes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendPlain(b []byte, s string) []byte { return append(append(append(b, '"'), s...), '"') }
