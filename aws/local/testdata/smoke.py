"""Calls every service of the local AWS with boto3 and the AWS CLI, and fails at the first surprise."""

import datetime
import json
import subprocess
import sys
import urllib.request

import boto3
from botocore.exceptions import ClientError

package, gateway = sys.argv[1:3]


def cli(*arguments):
    done = subprocess.run(["aws", *arguments, "--output", "json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (arguments, done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError("not refused with " + code)


sts = boto3.client("sts")
assert sts.get_caller_identity()["Account"] == "000000000000"
assert cli("sts", "get-caller-identity")["Arn"].endswith(":root")

s3 = boto3.client("s3")
s3.create_bucket(Bucket="code")
s3.upload_file(package, "code", "f.zip")
assert cli("s3api", "list-objects-v2", "--bucket", "code")["Contents"][0]["Key"] == "f.zip"

dynamodb = boto3.client("dynamodb")
dynamodb.create_table(
    TableName="orders", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
dynamodb.put_item(TableName="orders", Item={"id": {"S": "1"}, "n": {"N": "1.50"}})
assert cli("dynamodb", "get-item", "--table-name", "orders", "--key", '{"id":{"S":"1"}}')["Item"]["n"]["N"] == "1.5"

functions = boto3.client("lambda")
functions.create_function(
    FunctionName="f", Runtime="provided.al2023", Handler="bootstrap", Timeout=10,
    Role="arn:aws:iam::000000000000:role/r", Code={"S3Bucket": "code", "S3Key": "f.zip"})
functions.get_waiter("function_active_v2").wait(FunctionName="f")
answer = functions.invoke(FunctionName="f", Payload=b'{"a": 1}', LogType="Tail")
assert json.load(answer["Payload"])["statusCode"] == 200 and answer["LogResult"]
refused("ResourceNotFoundException", functions.invoke, FunctionName="none")
assert cli("lambda", "list-functions")["Functions"][0]["FunctionName"] == "f"

apis = boto3.client("apigatewayv2")
arn = functions.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
api = apis.create_api(Name="a", ProtocolType="HTTP", Target=arn)
functions.add_permission(FunctionName="f", StatementId="s", Action="lambda:InvokeFunction",
                         Principal="apigateway.amazonaws.com")
event = json.load(urllib.request.urlopen("http://%s/x?y=1" % gateway))
assert event["rawQueryString"] == "y=1" and event["requestContext"]["apiId"] == api["ApiId"], event
assert cli("apigatewayv2", "get-routes", "--api-id", api["ApiId"])["Items"][0]["RouteKey"] == "$default"

watch = boto3.client("cloudwatch")
watch.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": 2.5}])
now = datetime.datetime.now(datetime.timezone.utc)
points = watch.get_metric_statistics(
    Namespace="App", MetricName="m", StartTime=now - datetime.timedelta(minutes=5),
    EndTime=now + datetime.timedelta(minutes=1), Period=60, Statistics=["Sum"])["Datapoints"]
assert sum(p["Sum"] for p in points) == 2.5, points
cli("cloudwatch", "put-metric-alarm", "--alarm-name", "a", "--namespace", "App", "--metric-name", "m",
    "--statistic", "Sum", "--period", "60", "--evaluation-periods", "1", "--threshold", "1",
    "--comparison-operator", "GreaterThanThreshold")
assert watch.describe_alarms()["MetricAlarms"][0]["AlarmName"] == "a"
refused("ResourceNotFound", watch.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="x")

events = boto3.client("events")
put = events.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])
assert put["FailedEntryCount"] == 0
assert cli("events", "list-event-buses")["EventBuses"][0]["Name"] == "default"

stranger = boto3.client("cloudwatch", aws_secret_access_key="no", aws_access_key_id="AKIANOBODY")
refused("UnrecognizedClientException", stranger.describe_alarms)
print("all services answer boto3 and the AWS CLI")
