package dynamodb_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestTextThatIsNoUnicodeIsRefusedNotAltered(t *testing.T) {
	f := newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"broken UTF-8":         {"\xff\xfe", false},
		"overlong UTF-8":       {"\xc0\xaf", false},
		"a lone high half":     {`\ud83d`, false},
		"a lone low half":      {`\ude00`, false},
		"halves swapped":       {`\ude00\ud83d`, false},
		"half before text":     {`\ud83dx`, false},
		"half at another":      {`\ud83d\u0041`, false},
		"a pair":               {`\ud83d\ude00`, true},
		"a pair in capitals":   {`\uD83D\uDE00`, true},
		"an escaped backslash": {`\\ud83d`, true},
		"zero":                 {`\u0000`, true},
		"replacement":          {`\ufffd`, true},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"TableName":"tab","Item":{"id":{"S":"x"},"v":{"S":"` + tt.text + `"}}}`
			resp, out := call(t, f.url, "DynamoDB_20120810.PutItem", body)
			refused := resp.StatusCode == 400 && strings.Contains(string(out), "SerializationException")
			if tt.ok && resp.StatusCode != 200 || !tt.ok && !refused {
				t.Errorf("%d %s", resp.StatusCode, out)
			}
		})
	}
}

func TestTransactionsHoldFourMegabytes(t *testing.T) {
	ctx, f := context.Background(), newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	write := func(n int) error {
		in := &ddb.TransactWriteItemsInput{}
		for i := range n {
			in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
				TableName: aws.String("tab"),
				Item:      attrs{"id": str(fmt.Sprint(i)), "v": str(strings.Repeat("x", 390<<10))},
			}})
		}
		_, err := f.tables.TransactWriteItems(ctx, in)
		return err
	}
	read := func(n int) error {
		in := &ddb.TransactGetItemsInput{}
		for i := range n {
			in.TransactItems = append(in.TransactItems, types.TransactGetItem{Get: &types.Get{
				TableName: aws.String("tab"), Key: attrs{"id": str(fmt.Sprint(i))},
			}})
		}
		_, err := f.tables.TransactGetItems(ctx, in)
		return err
	}
	if err := write(10); err != nil {
		t.Errorf("3.9 MB: %v", err)
	}
	f.put(t, "tab", attrs{"id": str("10"), "v": str(strings.Repeat("x", 390<<10))})
	for name, err := range map[string]error{"write": write(11), "read": read(11)} {
		if err == nil || !strings.Contains(err.Error(), "Transaction payload size cannot exceed 4MB") {
			t.Errorf("%s of 4.3 MB: %v", name, err)
		}
	}
	if err := read(10); err != nil {
		t.Errorf("read of 3.9 MB: %v", err)
	}
}

// TestFieldNamesAreCaseSensitive wants what the vendor does: another case is another field, which is ignored.
func TestFieldNamesAreCaseSensitive(t *testing.T) {
	f := newFixture(t)
	f.createTable(t, "tab", "id", "", "")
	for body, want := range map[string]int{
		`{"TableName":"tab","Key":{"id":{"S":"a"}}}`: http.StatusOK,
		`{"tableName":"tab","Key":{"id":{"S":"a"}}}`: http.StatusBadRequest,
		`{"TableName":"tab","key":{"id":{"S":"a"}}}`: http.StatusBadRequest,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.GetItem")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}
