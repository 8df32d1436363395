// The conflict inspector: both versions side by side, why one won, and what can be done about it.
import { useState } from "preact/hooks";
import { act, confirm } from "./dialog";
import { clock, day, regionName } from "./format";
import { compare, keyText, text } from "./item";
import { post, usePoll, useStore } from "./store";

export function Conflicts() {
  const { frame } = useStore();
  const [open, setOpen] = useState<number | null>(() => Number(location.hash.split("/")[1]) || null);
  const [table, setTable] = useState("");
  const [key, setKey] = useState("");
  const query = "/v1/node/conflicts?limit=100" + (table ? "&table=" + encodeURIComponent(table) : "") + (table && key ? "&hash=" + encodeURIComponent(key) : "");
  const { data, error, reload } = usePoll<{ conflicts: any[] }>(query, 4000, frame?.live.kept);
  const list = data?.conflicts ?? [];
  const chosen = list.find((c) => c.id === open) ?? list[0];
  return (
    <section class="stack">
      <h2>Conflicts</h2>
      <p class="muted">Writes to one key from both regions that did not know of each other. The loser is kept whole, and can be restored.</p>
      <form class="row wrap" onSubmit={(e) => e.preventDefault()}>
        <label class="field">Table<input value={table} onInput={(e) => setTable(e.currentTarget.value)} placeholder="any" /></label>
        <label class="field">Key<input value={key} disabled={!table} onInput={(e) => setKey(e.currentTarget.value)} placeholder={table ? "any" : "name a table first"} /></label>
      </form>
      {error ? <p class="error" role="alert">{error}</p> : null}
      {list.length === 0 && data ? <p class="empty">No conflict is in the journal.</p> : null}
      {list.length > 0 ? (
        <div class="inspector">
          <ul class="list" aria-label="Conflicts, the newest first">
            {list.map((c) => (
              <li key={c.id}>
                <button class="card" aria-pressed={c.id === chosen?.id} data-conflict={c.id} onClick={() => setOpen(c.id)}>
                  <b class="mono">{c.table ? keyText(c.key) : c.object}</b>
                  <span class="muted">{c.table || c.bucket} · {clock(c.time)}</span>
                  <span><span class={"chip " + c.winner.region}>{regionName(c.winner.region)} won</span></span>
                </button>
              </li>
            ))}
          </ul>
          {chosen ? <Conflict key={chosen.id} c={chosen} reload={reload} /> : null}
        </div>
      ) : null}
    </section>
  );
}

const outcomes: Record<string, string> = { "": "the newer write", newer: "the newer write", older: "the older write", merged: "both, merged", hold: "nothing yet: it waits for an operator" };

function Conflict({ c, reload }: { c: any; reload: () => void }) {
  const rows = compare(c.winner.item, c.loser.item);
  const restore = async () => {
    const ok = await confirm("Restore the loser?", <p>The {regionName(c.loser.region)} version of <code>{keyText(c.key)}</code> becomes a new version on both sides. What is there now goes to the journal.</p>, "Restore");
    if (ok && (await act("Restored", () => post(`/v1/node/conflicts/${c.id}/restore`)))) reload();
  };
  return (
    <div class="panel conflict" data-open={c.id}>
      <div class="row wrap"><h3 class="mono">{c.table ? `${c.table}/${keyText(c.key)}` : `${c.bucket}/${c.object}`}</h3><span class="muted">conflict {c.id}, {day(c.time)}</span></div>
      <p>Kept: <b>{outcomes[c.outcome ?? ""] ?? c.outcome}</b> by policy <code>{c.policy}</code>. {c.reason}{c.note ? ` (${c.note})` : ""}</p>
      <div class="sides scroll">
        <table>
          <thead><tr><th scope="col">Attribute</th><th scope="col" class="won">Winner · {regionName(c.winner.region)}</th><th scope="col">Loser · {regionName(c.loser.region)}</th>{c.merged ? <th scope="col">Merged</th> : null}</tr></thead>
          <tbody>
            {rows.map((r) => (
              <tr key={r.name} class={r.differs ? "differs" : ""}>
                <th scope="row" class="mono">{r.name}{r.differs ? <span class="sr"> differs</span> : null}</th>
                <td class="mono">{c.winner.item ? text(c.winner.item[r.name]) : ""}</td><td class="mono">{c.loser.item ? text(c.loser.item[r.name]) : ""}</td>
                {c.merged ? <td class="mono">{text(c.merged[r.name])}</td> : null}
              </tr>
            ))}
            <Meta c={c} />
          </tbody>
        </table>
      </div>
      {c.redacted?.length ? <p class="strip">Kept out of here by residency: {c.redacted.join(", ")}</p> : null}
      <div class="row wrap"><button class="primary" data-action="restore" disabled={c.loser.missing} onClick={restore}>{c.loser.tombstone ? "Restore the delete" : "Restore the loser"}</button></div>
      <Try c={c} />
    </div>
  );
}

function Meta({ c }: { c: any }) {
  const of = (side: any) => (side.tombstone ? "deleted" : side.missing ? "content no longer at hand" : side.object ? `${side.object.size} bytes` : "");
  const cell = (v: string) => <td class="mono meta">{v}</td>;
  return (
    <>
      {of(c.winner) || of(c.loser) ? <tr><th scope="row">Content</th><td>{of(c.winner)}</td><td>{of(c.loser)}</td></tr> : null}
      <tr><th scope="row">Time</th>{cell(clock(c.winner.time, true))}{cell(clock(c.loser.time, true))}</tr>
      <tr><th scope="row">Version (HLC)</th>{cell(c.winner.version)}{cell(c.loser.version)}</tr>
      <tr><th scope="row">Parent</th>{cell(c.winner.parent || "none")}{cell(c.loser.parent || "none")}</tr>
    </>
  );
}

const policies = ["lww", "prefer:aws", "prefer:azure", "merge", "counter", "set", "manual"];

function Try({ c }: { c: any }) {
  const [policy, setPolicy] = useState("merge");
  const [result, setResult] = useState<any>(null);
  const run = async (e: Event) => {
    e.preventDefault();
    setResult(null);
    await act(`Tried ${policy}; nothing was written`, async () => {
      const reply = await post("/v1/node/conflicts/replay", { policy, table: c.table, since: c.time, limit: 1000 });
      setResult(reply.replayed.find((r: any) => r.id === c.id) ?? { would: "not in reach", same: false });
    });
  };
  return (
    <form class="try" onSubmit={run}>
      <h4>What would another policy have done?</h4>
      <div class="row wrap">
        <label class="field">Policy<input list="policies" value={policy} onInput={(e) => setPolicy(e.currentTarget.value)} /></label>
        <datalist id="policies">{policies.map((p) => <option key={p} value={p} />)}</datalist>
        <button data-action="try">Try it</button>
      </div>
      {result ? <p data-result>{result.same ? "The same" : <>It would keep <b>{outcomes[result.would] ?? result.would}</b></>}{result.note ? ` (${result.note})` : ""}.{result.item ? <span class="mono"> {Object.entries(result.item).map(([k, v]) => `${k}: ${text(v as any)}`).join(", ")}</span> : null}</p> : null}
    </form>
  );
}
