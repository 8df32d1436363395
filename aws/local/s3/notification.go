package s3

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// notification is one queue configuration of a bucket.
type notification struct {
	ID     string   `json:"i"`
	Queue  string   `json:"q"` // ARN
	Events []string `json:"e"` // such as s3:ObjectCreated:*
	Prefix string   `json:"p,omitempty"`
	Suffix string   `json:"s,omitempty"`
}

// maxNotifications is the vendor's limit of configurations of one bucket.
const maxNotifications = 100

type filterRule struct{ Name, Value string }

type queueConfiguration struct {
	Id     string
	Queue  string
	Event  []string
	Filter []filterRule `xml:"Filter>S3Key>FilterRule"`
}

// putNotification replaces the bucket's notification configuration. Queues are the only destination
// here.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
func (s *Server) putNotification(w http.ResponseWriter, r *http.Request, t target) error {
	var in struct {
		XMLName xml.Name             `xml:"NotificationConfiguration"`
		Queues  []queueConfiguration `xml:"QueueConfiguration"`
		Topics  []struct{}           `xml:"TopicConfiguration"`
		Lambdas []struct{}           `xml:"CloudFunctionConfiguration"`
		Bus     *struct{}            `xml:"EventBridgeConfiguration"`
	}
	if err := readXML(r, &in); err != nil {
		return err
	}
	if len(in.Topics) > 0 || len(in.Lambdas) > 0 || in.Bus != nil {
		return notImplemented("a destination that is no queue")
	}
	if len(in.Queues) > maxNotifications {
		return invalidArgument("QueueConfiguration", "", "There are too many configurations.")
	}
	rows := make([]notification, 0, len(in.Queues))
	for i, q := range in.Queues {
		row, err := s.notificationOf(q, i)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if err := s.setNotifications(t.bucket, rows); err != nil {
		return err
	}
	for _, row := range rows {
		test, err := json.Marshal(map[string]string{
			"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": t.bucket,
			"Time": s.cfg.Clock().UTC().Format(eventTime),
		})
		if err != nil {
			return err
		}
		s.cfg.Notify(row.Queue, test)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) notificationOf(q queueConfiguration, i int) (notification, error) {
	row := notification{ID: q.Id, Queue: q.Queue, Events: q.Event}
	if row.ID == "" {
		row.ID = fmt.Sprint("configuration-", i)
	}
	if s.cfg.Notify == nil || s.cfg.QueueExists == nil || !s.cfg.QueueExists(q.Queue) {
		return row, invalidArgument("Queue", q.Queue, "Unable to validate the following destination configurations")
	}
	if len(q.Event) == 0 {
		return row, invalidArgument("Event", "", "A configuration needs an event")
	}
	for _, e := range q.Event {
		if !strings.HasPrefix(e, "s3:ObjectCreated:") && !strings.HasPrefix(e, "s3:ObjectRemoved:") {
			return row, invalidArgument("Event", e, "The event is not supported for notifications here")
		}
	}
	for _, f := range q.Filter {
		switch strings.ToLower(f.Name) {
		case "prefix":
			row.Prefix = f.Value
		case "suffix":
			row.Suffix = f.Value
		default:
			return row, invalidArgument("FilterRule.Name", f.Name, "filter rule name must be either prefix or suffix")
		}
	}
	return row, nil
}

func (s *Server) setNotifications(bucket string, rows []notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.bucketLocked(bucket)
	if err != nil {
		return err
	}
	b.Notifications = rows
	return s.saveBucket(bucket, b)
}

// getNotification returns the configuration.
func (s *Server) getNotification(w http.ResponseWriter, _ *http.Request, t target) error {
	b, err := s.bucket(t.bucket)
	if err != nil {
		return err
	}
	d := newXML("NotificationConfiguration")
	for _, n := range b.Notifications {
		d.open("QueueConfiguration")
		d.leaf("Id", n.ID)
		d.leaf("Queue", n.Queue)
		for _, e := range n.Events {
			d.leaf("Event", e)
		}
		if n.Prefix != "" || n.Suffix != "" {
			d.open("Filter")
			d.open("S3Key")
			d.rule("prefix", n.Prefix)
			d.rule("suffix", n.Suffix)
			d.close("S3Key")
			d.close("Filter")
		}
		d.close("QueueConfiguration")
	}
	d.send(w, "NotificationConfiguration")
	return nil
}

func (d *xmlDoc) rule(name, value string) {
	if value == "" {
		return
	}
	d.open("FilterRule")
	d.leaf("Name", name)
	d.leaf("Value", value)
	d.close("FilterRule")
}

const eventTime = "2006-01-02T15:04:05.000Z"

// eventName is the vendor's name of a change.
func (e Event) eventName() string {
	switch {
	case e.Marker:
		return "ObjectRemoved:DeleteMarkerCreated"
	case e.Deleted:
		return "ObjectRemoved:Delete"
	case e.Reason == "CopyObject":
		return "ObjectCreated:Copy"
	case e.Reason == "CompleteMultipartUpload":
		return "ObjectCreated:CompleteMultipartUpload"
	}
	return "ObjectCreated:Put"
}

func (n notification) wants(e Event) bool {
	name := "s3:" + e.eventName()
	return strings.HasPrefix(e.Key, n.Prefix) && strings.HasSuffix(e.Key, n.Suffix) &&
		slices.ContainsFunc(n.Events, func(want string) bool {
			family, all := strings.CutSuffix(want, "*")
			return want == name || all && strings.HasPrefix(name, family)
		})
}

// notify tells the queues that want a change.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func (s *Server) notify(b bucketRow, e Event) {
	for _, n := range b.Notifications {
		if s.cfg.Notify == nil || !n.wants(e) {
			continue
		}
		object := map[string]any{"key": url.QueryEscape(e.Key), "sequencer": e.Sequencer}
		if !e.Deleted {
			object["size"], object["eTag"] = e.Size, e.ETag
		}
		if e.VersionID != "" {
			object["versionId"] = e.VersionID
		}
		body, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
			"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": s.cfg.Region,
			"eventTime": e.At.UTC().Format(eventTime), "eventName": e.eventName(),
			"userIdentity":      map[string]string{"principalId": "AWS:" + s.cfg.AccountID},
			"requestParameters": map[string]string{"sourceIPAddress": "127.0.0.1"},
			"s3": map[string]any{
				"s3SchemaVersion": "1.0", "configurationId": n.ID, "object": object,
				"bucket": map[string]any{
					"name": e.Bucket, "arn": "arn:aws:s3:::" + e.Bucket,
					"ownerIdentity": map[string]string{"principalId": s.cfg.AccountID},
				},
			},
		}}})
		if err != nil {
			s.cfg.Logger.Error("notification lost", "bucket", e.Bucket, "error", err)
			continue
		}
		s.cfg.Notify(n.Queue, body)
	}
}
