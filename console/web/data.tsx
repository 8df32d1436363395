// Data: are both sides equal, what waits, what cannot cross, what was not replicated.
import { useState } from "preact/hooks";
import { act, confirm } from "./dialog";
import { ago, clock, count, ms, plural, rate, regionName } from "./format";
import { keyText } from "./item";
import { Parts } from "./parts";
import { Plot } from "./plot";
import { Frame, post, usePoll, useStore } from "./store";

export function Data() {
  const { frame } = useStore();
  if (!frame) return null;
  return (
    <section class="stack">
      <h2>Data</h2>
      <Verdict frame={frame} />
      <div class="columns">{(frame.live.directions ?? []).map((d: any) => <Direction key={d.from} d={d} frame={frame} />)}</div>
      <Parts frame={frame} />
      <Quarantine total={frame.live.quarantined} />
      <Scans />
    </section>
  );
}

function Verdict({ frame }: { frame: Frame }) {
  const v = frame.live.verified;
  const at = new Date(frame.at).getTime();
  const [deep, setDeep] = useState<any>(null);
  const [busy, setBusy] = useState(false);
  const verify = async (full: boolean) => {
    setBusy(true);
    await act("Compared", async () => setDeep(await post("/v1/node/verify" + (full ? "?deep=1" : ""))));
    setBusy(false);
  };
  return (
    <div class="panel verdict" data-panel="equal">
      <div>
        <p class={"big " + (v && v.differences === 0 ? "good" : "warn")}>{!v ? "Not compared yet" : v.differences === 0 ? "Both sides are equal" : plural(v.differences, "difference")}</p>
        {v ? <p class="muted">Equal through feed positions as of <b>{clock(v.through)}</b> ({ago(v.through, at)}), last full scan {v.last_scan ? ago(v.last_scan, at) : "never"}: <b>{plural(v.keys, "key")}</b>, <b>{plural(v.differences, "difference")}</b>, <b>{count(v.in_flight)}</b> in flight.</p> : null}
        {deep ? <p>Compared in {deep.took_seconds.toFixed(2)} s: {plural(deep.keys, "key")}, {plural(deep.differences, "difference")}.</p> : null}
        {(deep?.first ?? []).length ? <ul class="plain">{deep.first.slice(0, 10).map((d: any, n: number) => <li key={n} class="mono">{JSON.stringify(d)}</li>)}</ul> : null}
      </div>
      <div class="row wrap"><button disabled={busy} data-action="verify" onClick={() => verify(false)}>Compare digests</button><button disabled={busy} data-action="verify-deep" onClick={() => verify(true)}>Read both sides</button></div>
    </div>
  );
}

function Direction({ d, frame }: { d: any; frame: Frame }) {
  const to = d.from === "aws" ? "azure" : "aws";
  const unreplicated = frame.live.regions[d.from]?.unreplicated;
  return (
    <div class="panel" data-direction={d.from}>
      <div class="row"><h3>{regionName(d.from)} → {regionName(to)}</h3><span class={"chip " + (d.known ? (d.scanning ? "warn" : "good") : "bad")}>{d.known ? (d.scanning ? "scanning" : "live") : "not read"}</span></div>
      <dl class="figures">
        <div><dt>Lag now</dt><dd>{d.known ? ms(d.lag_ms) : "unknown"}</dd></div><div><dt>Lag p50</dt><dd>{ms(d.p50_ms)}</dd></div><div><dt>Lag p99</dt><dd>{ms(d.p99_ms)}</dd></div>
        <div><dt>Backlog</dt><dd>{count(d.backlog)}</dd></div><div><dt>Applied</dt><dd>{rate(d.per_second)}</dd></div>
      </dl>
      {d.error ? <p class="fault">{d.error}</p> : null}
      <Plot range="1h" title="Lag, last hour" unit={(v) => ms(v)} series={[{ name: d.from + " lag", label: "lag", color: "--sync" }]} height={130} />
      <Plot range="1h" title="Backlog, last hour" series={[{ name: d.from + " backlog", label: "keys", color: "--accent" }]} height={110} />
      <Unreplicated region={d.from} total={unreplicated} />
    </div>
  );
}

function Unreplicated({ region, total }: { region: string; total: number | null }) {
  const { data } = usePoll<any>(`/v1/node/diff?region=${region}&limit=50`, 5000, total === null ? -1 : Math.min(total, 3));
  const list = data?.unreplicated ?? [];
  return (
    <div>
      <h4>Acknowledged in {regionName(region)}, not on the other side: {data ? count(data.total) : "–"}</h4>
      {(data?.incomplete ?? []).length ? <p class="strip">The list may lack writes of {data.incomplete.length === 1 ? "a span" : "spans"} in which the node was not told of any.</p> : null}
      {list.length ? (
        <div class="scroll">
          <table>
            <thead><tr><th scope="col">Key</th><th scope="col">Written</th><th scope="col">Why</th></tr></thead>
            <tbody>{list.map((u: any, n: number) => <tr key={n}><td class="mono">{u.table ? `${u.table}/${keyText(u.key)}` : `${u.bucket}/${u.object}`}{u.deleted ? " (deleted)" : ""}</td><td class="nowrap">{clock(u.at, true)}</td><td>{u.reason || u.known}</td></tr>)}</tbody>
          </table>
        </div>
      ) : <p class="muted">None.</p>}
    </div>
  );
}

function Quarantine({ total }: { total: number }) {
  const { data, reload } = usePoll<any>("/v1/node/quarantine?limit=100", 5000, total);
  const list: any[] = data?.quarantined ?? [];
  const retry = async (q: any) => {
    const key = q.key ? Object.values(q.key).map((v: any) => String(Object.values(v)[0])) : [];
    if (q.id) {
      if (await confirm("Drop this change?", <p>The feed gave a change that cannot be read. Dropping it forgets it for good.</p>, "Drop", true)) await act("Dropped", () => post("/v1/node/quarantine/drop", { id: q.id }));
    } else await act("Tried again", () => post("/v1/node/quarantine/retry", { table: q.table, hash: key[0], range: key[1] }));
    reload();
  };
  return (
    <div class="panel" data-panel="quarantine">
      <h3>Quarantine</h3>
      {list.length === 0 ? <p class="muted">Empty: everything that was written can be stored on the other side.</p> : (
        <div class="scroll">
          <table>
            <thead><tr><th scope="col">Key</th><th scope="col">Where</th><th scope="col">Why</th><th scope="col">Since</th><th scope="col"><span class="sr">Action</span></th></tr></thead>
            <tbody>{list.map((q, n) => <tr key={n}><td class="mono">{q.table}/{keyText(q.key)}</td><td>{regionName(q.region)}</td><td><b>{q.kind}</b>: {q.reason}</td><td class="nowrap">{clock(q.at)}</td><td><button onClick={() => retry(q)}>{q.id ? "Drop" : "Retry"}</button></td></tr>)}</tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function Scans() {
  const { data } = usePoll<any>("/v1/node/data", 4000);
  if (!data) return null;
  const m = data.metrics ?? {};
  const rows: [string, string][] = [
    ["Changes read", count(m.events_captured)], ["Of those, echoes of our own writes", count(m.events_echoes)], ["Writes made", count(m.replication_writes)],
    ["Refused: something newer was there", count(m.replication_refused)], ["Throttled by a store", count(m.replication_throttled)],
    ["Conflicts decided", count(m.conflicts_made)], ["Repaired by comparisons", count(m.replication_repaired)], ["Feeds that had lost changes", count(m.events_gaps)],
  ];
  return (
    <div class="columns">
      <div class="panel"><h3>Since the node began</h3><dl class="facts wide">{rows.map(([k, v]) => <><dt>{k}</dt><dd>{v}</dd></>)}</dl></div>
      <div class="panel">
        <h3>Scans</h3>
        {(data.scans ?? []).length === 0 ? <p class="muted">None is under way.</p> : <ul class="plain">{data.scans.map((s: any, n: number) => <li key={n}><b>{s.table || s.bucket}</b> {regionName(s.region)}: {s.done ? "done" : s.paused ? "paused" : "under way"}, {plural(s.rows, s.bucket ? "object" : "row")}{s.done ? "" : ` of at least ${count(s.known)}`}</li>)}</ul>}
        <h3>Subscribers</h3>
        {(data.subscribers ?? []).length === 0 ? <p class="muted">None is configured.</p> : <ul class="plain">{data.subscribers.map((s: any) => <li key={s.name}><b>{s.name}</b>: {JSON.stringify(s)}</li>)}</ul>}
      </div>
    </div>
  );
}
