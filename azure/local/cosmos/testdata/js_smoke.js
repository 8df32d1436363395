// Drives a local Cosmos DB through @azure/cosmos, the official JavaScript SDK, whose query pipeline merges partitions by the gateway's plan.
const assert = require("assert");
const { CosmosClient, ChangeFeedStartFrom } = require("@azure/cosmos");
const [url, key] = process.argv.slice(2);

async function main() {
  const client = new CosmosClient({ endpoint: url, key });
  const { database } = await client.databases.createIfNotExists({ id: "jsdb" });
  const { container } = await database.containers.createIfNotExists({ id: "items", partitionKey: { paths: ["/pk"], version: 2 } });
  for (let i = 0; i < 30; i++) {
    await container.items.create({ id: `${i}`, pk: `p${i % 7}`, n: i, g: i % 3, s: i % 2 ? "odd" : "even" });
  }
  const q = async (query, want, options) => {
    const { resources } = await container.items.query(query, options).fetchAll();
    assert.deepStrictEqual(resources, want, query);
    console.log("ok", query);
  };
  await q("SELECT VALUE c.n FROM c WHERE c.n < 4 ORDER BY c.n", [0, 1, 2, 3]);
  await q("SELECT VALUE c.n FROM c ORDER BY c.n DESC OFFSET 2 LIMIT 3", [27, 26, 25]);
  await q("SELECT TOP 2 c.id FROM c ORDER BY c.n DESC", [{ id: "29" }, { id: "28" }]);
  await q("SELECT VALUE COUNT(1) FROM c", [30]);
  await q("SELECT VALUE SUM(c.n) FROM c", [435]);
  await q("SELECT VALUE AVG(c.n) FROM c", [14.5]);
  await q("SELECT VALUE MAX(c.n) FROM c", [29]);
  await q("SELECT COUNT(1) AS n, MIN(c.n) AS lo, AVG(c.n) AS a FROM c", [{ n: 30, lo: 0, a: 14.5 }]);
  const groups = (await container.items.query("SELECT c.g, COUNT(1) AS n, SUM(c.n) AS s FROM c GROUP BY c.g").fetchAll()).resources;
  groups.sort((a, b) => a.g - b.g);
  assert.deepStrictEqual(groups, [{ g: 0, n: 10, s: 135 }, { g: 1, n: 10, s: 145 }, { g: 2, n: 10, s: 155 }]);
  const distinct = (await container.items.query("SELECT DISTINCT VALUE c.s FROM c").fetchAll()).resources.sort();
  assert.deepStrictEqual(distinct, ["even", "odd"]);
  // Not c.g: the SDK loses a distinct ordered 0, which is falsy.
  await q("SELECT DISTINCT VALUE c.s FROM c ORDER BY c.s", ["even", "odd"]);
  const bulk = await container.items.executeBulkOperations(["z", "y", "p0"].map((pk) => (
    { operationType: "Create", partitionKey: pk, resourceBody: { id: "0", pk } })));
  const codes = bulk.map((b) => (b.error ? b.error.code : b.response.statusCode));
  assert.deepStrictEqual(codes, [201, 201, 409]);
  const it = container.items.getChangeFeedIterator({ changeFeedStartFrom: ChangeFeedStartFrom.Beginning(), maxItemCount: 10 });
  let seen = 0;
  let idle = 0;
  while (idle < 4) {
    const page = await it.readNext();
    if (page.statusCode === 304) idle++;
    else { idle = 0; seen += page.result.length; }
  }
  assert.ok(seen >= 30, `change feed shows ${seen}`);
  await database.delete();
  console.log("js smoke passed");
}
main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
