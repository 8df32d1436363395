"""Drives S3 with boto3. Usage: boto.py ENDPOINT. Prints OK, or raises."""
import hashlib
import io
import os
import sys

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1",
                  aws_access_key_id="AKIDTEST", aws_secret_access_key="secret/of+the=test",
                  config=Config(retries={"max_attempts": 1}))
B = "boto"
s3.create_bucket(Bucket=B)


def code(call, **kw):
    try:
        call(**kw)
    except ClientError as e:
        return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


keys = ["x", "x/y", "a//b", "z/../w", "w", "sp ace", "plus+plus", "pct%20x", "ü/日本", "k" * 1024, "nul\x01x", "q?u=1&v#f"]
for k in keys:
    s3.put_object(Bucket=B, Key=k, Body=k.encode(), Metadata={"a": "1"})
for k in keys:
    o = s3.get_object(Bucket=B, Key=k)
    assert o["Body"].read() == k.encode(), k
    assert o["Metadata"] == {"a": "1"}, k
listed = [o["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket=B, PaginationConfig={"PageSize": 5})
          for o in p["Contents"]]
assert listed == sorted(keys, key=lambda k: k.encode()), listed
v1 = [o["Key"] for p in s3.get_paginator("list_objects").paginate(Bucket=B, PaginationConfig={"PageSize": 5})
      for o in p["Contents"]]
assert v1 == listed, v1

assert code(s3.put_object, Bucket=B, Key="x", Body=b"", IfNoneMatch="*") == ("PreconditionFailed", 412)
assert code(s3.get_object, Bucket=B, Key="none") == ("NoSuchKey", 404)
assert code(s3.head_object, Bucket=B, Key="none") == ("404", 404)
assert code(s3.get_bucket_policy, Bucket=B) == ("NoSuchBucketPolicy", 404)

for alg in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket=B, Key="sum", Body=b"hello", ChecksumAlgorithm=alg)
    h = s3.head_object(Bucket=B, Key="sum", ChecksumMode="ENABLED")
    assert h["Checksum" + alg] and h["ChecksumCRC64NVME"], h

big = os.urandom(20 << 20)
s3.upload_fileobj(io.BytesIO(big), B, "big")
head = s3.head_object(Bucket=B, Key="big")
assert head["ETag"].endswith('-3"'), head["ETag"]
out = io.BytesIO()
s3.download_fileobj(B, "big", out)
assert hashlib.sha256(out.getvalue()).digest() == hashlib.sha256(big).digest()
s3.copy({"Bucket": B, "Key": "big"}, B, "big2")
assert s3.get_object(Bucket=B, Key="big2", Range="bytes=100-199")["Body"].read() == big[100:200]

s3.delete_object(Bucket=B, Key="nul\x01x")  # XML 1.0 cannot name it in delete_objects
s3.put_bucket_versioning(Bucket=B, VersioningConfiguration={"Status": "Enabled"})
v = s3.put_object(Bucket=B, Key="v", Body=b"1")["VersionId"]
s3.put_object(Bucket=B, Key="v", Body=b"2")
s3.delete_object(Bucket=B, Key="v")
assert s3.get_object(Bucket=B, Key="v", VersionId=v)["Body"].read() == b"1"
s3.put_object_tagging(Bucket=B, Key="v", VersionId=v, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
assert s3.get_object_tagging(Bucket=B, Key="v", VersionId=v)["TagSet"] == [{"Key": "k", "Value": "v"}]
assert code(s3.delete_bucket, Bucket=B) == ("BucketNotEmpty", 409)

url = s3.generate_presigned_url("get_object", Params={"Bucket": B, "Key": "sp ace"}, ExpiresIn=60)
import urllib.request  # noqa: E402
assert urllib.request.urlopen(url).read() == b"sp ace"

for p in s3.get_paginator("list_object_versions").paginate(Bucket=B):
    gone = [{"Key": o["Key"], "VersionId": o["VersionId"]} for o in p.get("Versions", []) + p.get("DeleteMarkers", [])]
    r = s3.delete_objects(Bucket=B, Delete={"Objects": gone})
    assert "Errors" not in r, r
s3.delete_bucket(Bucket=B)
print("OK")
