"""Drives a local Cosmos DB through azure-cosmos, the official Python SDK: CRUD, queries over several partitions, change feed."""
import sys

from azure.cosmos import CosmosClient, PartitionKey, exceptions

url, key = sys.argv[1:3]
client = CosmosClient(url, credential=key)
db = client.create_database_if_not_exists("pydb")
c = db.create_container_if_not_exists("items", PartitionKey(path="/pk"))
assert [d["id"] for d in client.list_databases()] == ["pydb"]
assert [x["id"] for x in db.list_containers()] == ["items"]
assert [x["id"] for x in db.query_containers("SELECT * FROM r WHERE r.id = 'items'")] == ["items"]

for i in range(30):
    c.create_item({"id": f"{i:02d}", "pk": f"p{i % 7}", "n": i, "g": i % 3, "tags": ["a", "b"] if i % 2 else ["a"]})
try:
    c.create_item({"id": "00", "pk": "p0"})
    raise SystemExit("a second create went through")
except exceptions.CosmosResourceExistsError:
    pass
item = c.read_item("03", "p3")
assert item["n"] == 3, item
item["n"] = 300
new = c.replace_item("03", item, match_condition=__import__("azure.core", fromlist=["MatchConditions"]).MatchConditions.IfNotModified, etag=item["_etag"])
assert new["n"] == 300
try:
    c.replace_item("03", item, match_condition=__import__("azure.core", fromlist=["MatchConditions"]).MatchConditions.IfNotModified, etag=item["_etag"])
    raise SystemExit("a stale replace went through")
except exceptions.CosmosAccessConditionFailedError:
    pass
new["n"] = 3
c.upsert_item(new)
patched = c.patch_item("04", "p4", [{"op": "incr", "path": "/n", "value": 1}, {"op": "add", "path": "/x", "value": None}])
assert patched["n"] == 5 and patched["x"] is None
c.patch_item("04", "p4", [{"op": "set", "path": "/n", "value": 4}], filter_predicate="from c where c.n = 5")
res = c.execute_item_batch([("create", ({"id": "b1", "pk": "p0"},)), ("delete", ("b1",))], partition_key="p0")
assert [r["statusCode"] for r in res] == [201, 204], res


def q(query, expected, key=None, **kw):
    kw.setdefault("enable_cross_partition_query", True)
    got = list(c.query_items(query, **kw))
    if key:
        got = sorted(got, key=key)
    assert got == expected, f"{query}\n got {got}\nwant {expected}"
    print("ok", query)


q("SELECT VALUE c.n FROM c WHERE c.n < 4 ORDER BY c.n", [0, 1, 2, 3])
q("SELECT VALUE c.n FROM c ORDER BY c.n DESC OFFSET 2 LIMIT 3", [27, 26, 25])
q("SELECT TOP 2 c.id, c.n FROM c ORDER BY c.n DESC", [{"id": "29", "n": 29}, {"id": "28", "n": 28}])
q("SELECT VALUE COUNT(1) FROM c", [30])
q("SELECT VALUE SUM(c.n) FROM c", [435])
q("SELECT VALUE AVG(c.n) FROM c", [14.5])
q("SELECT VALUE MIN(c.n) FROM c", [0])
q("SELECT VALUE MAX(c.n) FROM c", [29])
q("SELECT DISTINCT VALUE c.g FROM c", [0, 1, 2], key=lambda x: x)
q("SELECT VALUE COUNT(1) FROM c JOIN t IN c.tags WHERE t = 'b'", [15])
q("SELECT VALUE c.id FROM c WHERE c.n BETWEEN @a AND @b", ["10", "11", "12"], key=lambda x: x,
  parameters=[{"name": "@a", "value": 10}, {"name": "@b", "value": 12}])
q("SELECT VALUE COUNT(1) FROM c", [5], partition_key="p0", enable_cross_partition_query=False)
q("SELECT c.g, COUNT(1) AS n FROM c GROUP BY c.g", [{"g": 0, "n": 2}, {"g": 1, "n": 2}, {"g": 2, "n": 1}],
  key=lambda r: r["g"], partition_key="p0", enable_cross_partition_query=False)
pages = list(c.query_items("SELECT * FROM c", enable_cross_partition_query=True, max_item_count=4).by_page())
total = sum(len(list(p)) for p in pages)
assert total == 30, total
assert len(list(c.read_all_items())) == 30
many = c.read_items([("01", "p1"), ("02", "p2"), ("29", "p1")])
assert len(list(many)) == 3, many

assert len(list(c.query_items_change_feed(start_time="Beginning"))) == 30
feed = c.query_items_change_feed(start_time="Now")
assert list(feed) == []
token = c.client_connection.last_response_headers["etag"]
full = c.query_items_change_feed(mode="AllVersionsAndDeletes")
assert list(full) == []
full_token = c.client_connection.last_response_headers["etag"]
c.upsert_item({"id": "00", "pk": "p0", "n": -1})
c.delete_item("01", "p1")
changes = list(c.query_items_change_feed(continuation=token))
assert [x["id"] for x in changes] == ["00"], changes
changes = list(c.query_items_change_feed(continuation=full_token, mode="AllVersionsAndDeletes"))
kinds = sorted(x["metadata"]["operationType"] for x in changes)
assert kinds == ["delete", "replace"], changes

off = db.create_container("offered", PartitionKey(path="/pk"), offer_throughput=400)
assert off.get_throughput().offer_throughput == 400
off.replace_throughput(500)
assert off.get_throughput().offer_throughput == 500
h = db.create_container("h", PartitionKey(path=["/a", "/b"], kind="MultiHash"))
for i in range(6):
    h.create_item({"id": str(i), "a": "x" if i % 2 else "y", "b": i})
assert len(list(h.query_items("SELECT * FROM h", partition_key=["x"]))) == 3
db.delete_container("items")
client.delete_database("pydb")
print("python smoke passed")
