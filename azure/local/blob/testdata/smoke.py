"""Uses the local Blob service through the vendor's Python client, as any tool would."""
import sys
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobBlock, BlobServiceClient, BlobClient, ContentSettings, generate_blob_sas,
    BlobSasPermissions,
)
from datetime import datetime, timedelta, timezone

service = BlobServiceClient.from_connection_string(sys.argv[1], retry_total=0)
box = service.create_container("pybox", metadata={"owner": "me"})
assert [c.name for c in service.list_containers()] == ["pybox"]

body = bytes(range(256)) * 5000
blob = box.upload_blob("dir/ä file.bin", body, metadata={"a_b": "c", "Zed": "1"},
                       content_settings=ContentSettings(content_type="image/png"))
assert blob.download_blob().readall() == body
assert blob.download_blob(offset=10, length=20).readall() == body[10:30]
props = blob.get_blob_properties()
assert props.size == len(body) and props.content_settings.content_type == "image/png"
assert props.metadata == {"a_b": "c", "zed": "1"}, props.metadata

try:
    box.upload_blob("dir/ä file.bin", b"x")
    raise AssertionError("overwrote")
except ResourceExistsError as e:
    assert e.error_code == "BlobAlreadyExists", e.error_code
try:
    blob.upload_blob(b"x", overwrite=True, etag='"0x1"', match_condition=MatchConditions.IfNotModified)
    raise AssertionError("condition ignored")
except ResourceModifiedError as e:
    assert e.error_code == "ConditionNotMet"
blob.upload_blob(b"y" * 9_000_000, overwrite=True, max_concurrency=4,
                 etag=props.etag, match_condition=MatchConditions.IfNotModified)
assert blob.get_blob_properties().size == 9_000_000

ids = [uuid.uuid4().hex for _ in range(4)]
staged = box.get_blob_client("staged")
for i, block in enumerate(ids):
    staged.stage_block(block, bytes([i]) * 100_000, validate_content=True)
staged.commit_block_list([BlobBlock(block_id=i) for i in reversed(ids)])
assert staged.download_blob().readall()[:1] == b"\x03"

log = box.get_blob_client("log")
log.create_append_blob()
log.append_block(b"one")
log.append_block(b"two")
assert log.download_blob().readall() == b"onetwo"

lease = blob.acquire_lease(15)
try:
    blob.delete_blob()
    raise AssertionError("deleted a leased blob")
except HttpResponseError as e:
    assert e.error_code == "LeaseIdMissing"
lease.release()

assert [b.name for b in box.list_blobs()] == ["dir/ä file.bin", "log", "staged"]
assert [b.name for b in box.walk_blobs()] == ["dir/", "log", "staged"]

key = dict(p.split("=", 1) for p in sys.argv[1].split(";") if p)["AccountKey"]
sas = generate_blob_sas(service.account_name, "pybox", "log", account_key=key,
                        permission=BlobSasPermissions(read=True),
                        expiry=datetime.now(timezone.utc) + timedelta(hours=1))
reader = BlobClient.from_blob_url(log.url + "?" + sas, retry_total=0)
assert reader.download_blob().readall() == b"onetwo"
try:
    reader.delete_blob()
    raise AssertionError("a read signature deletes")
except HttpResponseError as e:
    assert e.error_code == "AuthorizationPermissionMismatch", e.error_code

copy = box.get_blob_client("copy")
copy.start_copy_from_url(blob.url)
assert copy.get_blob_properties().copy.status == "success"
snapshot = copy.create_snapshot()
copy.delete_blob(delete_snapshots="include")
versions = list(box.list_blobs(name_starts_with="copy", include=["versions"]))
assert versions and all(v.version_id for v in versions), versions
try:
    copy.get_blob_properties()
    raise AssertionError("still there")
except ResourceNotFoundError:
    pass
service.delete_container("pybox")
print("all good")
