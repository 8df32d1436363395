package journey

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

// TestOrdinaryToolsWorkWithProaEnv uses the AWS CLI, boto3, the Azure SDKs for Python and dig with nothing but what `proa env` and `proa status` print.
func TestOrdinaryToolsWorkWithProaEnv(t *testing.T) {
	if os.Getenv("PROA_PEERS") != "1" {
		t.Skip(`the vendors' tools are not installed: eval "$(test/peers.sh)" installs them`)
	}
	s := start(t, proc.Binary(t), filepath.Join(t.TempDir(), "proa"))
	host, port, _ := strings.Cut(s.status().DNS[0], ":")
	for _, tool := range []struct{ name, script, want string }{
		{"aws cli", `eval "$(BIN env aws)"
			aws dynamodb put-item --table-name orders --item '{"id":{"S":"cli-1"},"item":{"S":"rope"}}'
			aws dynamodb get-item --table-name orders --key '{"id":{"S":"cli-1"}}' --query Item.item.S --output text
			echo hello > $TMP/f && aws s3 cp $TMP/f s3://attachments/cli-1 && aws s3 ls s3://attachments/
			aws lambda list-functions --query 'Functions[].FunctionName' --output text
			aws apigatewayv2 get-apis --query 'Items[].Name' --output text
			aws cloudwatch describe-alarms --query 'MetricAlarms[].AlarmName' --output text
			aws sts get-caller-identity --query Account --output text`, "rope"},
		{"boto3", `eval "$(BIN env aws)"
			python3 -c "
import boto3
t = boto3.resource('dynamodb').Table('orders')
t.put_item(Item={'id': 'boto-1', 'item': 'keel'})
print(t.get_item(Key={'id': 'boto-1'})['Item']['item'])
s = boto3.client('s3'); s.put_object(Bucket='attachments', Key='boto-1', Body=b'x')
print(boto3.client('dynamodbstreams').list_streams()['Streams'][0]['TableName'])"`, "keel"},
		{"azure-cosmos", `eval "$(BIN env azure)"
			python3 -c "
import os
from azure.cosmos import CosmosClient
c = CosmosClient(os.environ['COSMOS_ENDPOINT'], os.environ['COSMOS_KEY']).get_database_client('proa').get_container_client('orders')
c.upsert_item({'id': 'py-1', 'item': 'mast'})
print([d['item'] for d in c.query_items('SELECT * FROM c WHERE c.id = @id', parameters=[{'name': '@id', 'value': 'py-1'}], enable_cross_partition_query=True)])"`, "mast"},
		{"azure-storage-blob", `eval "$(BIN env azure)"
			python3 -c "
import os
from azure.storage.blob import BlobServiceClient
s = BlobServiceClient.from_connection_string(os.environ['AZURE_STORAGE_CONNECTION_STRING'])
s.get_blob_client('attachments', 'py-1').upload_blob(b'tiller', overwrite=True)
print(s.get_blob_client('attachments', 'py-1').download_blob().readall())"`, "tiller"},
		{"dig", "dig @" + host + " -p " + port + " orders.proa.test A +noall +comments +answer\ndig @" + host + " -p " + port + " orders.proa.test SOA +tcp +short", "127.0.64.1"},
	} {
		t.Run(tool.name, func(t *testing.T) {
			script := "set -e\n" + strings.ReplaceAll(tool.script, "BIN", s.Bin+" --dir "+s.Dir)
			cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
			home := t.TempDir()
			cmd.Env = append(os.Environ(), "TMP="+home, "HOME="+home, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null")
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil || !strings.Contains(string(out), tool.want) {
				t.Errorf("%v; want %q in the output", err, tool.want)
			}
		})
	}
	// What the tools wrote on one side is on the other.
	v := s.vendors()
	j := &journey{system: s, v: v}
	j.same(t, "cli-1", attribute("item", "rope"))
	j.same(t, "boto-1", attribute("item", "keel"))
	j.same(t, "py-1", attribute("item", "mast"))
}
