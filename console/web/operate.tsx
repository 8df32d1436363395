// Operators' switches and game day. Every action asks first, and shows the refusal when the safety rules refuse.
import { useState } from "preact/hooks";
import { act, confirm } from "./dialog";
import { ago, clock, day, other, regionName } from "./format";
import { DrillPanel } from "./drills";
import { dead, faultsOf } from "./model";
import { Frame, post, usePoll, useStore } from "./store";

const fault = (verb: string, target: string, body: unknown = {}) => post(`/v1/faults/${verb}/${target}`, body);

export function Kill({ region }: { region: string }) {
  const [busy, setBusy] = useState(false);
  const kill = async () => {
    const ok = await confirm(`Kill ${regionName(region)}?`, <p>All its processes get SIGKILL at once: the gateway, the functions, the stores. What was acknowledged is on disk; heal starts it again.</p>, `Kill ${regionName(region)}`, true);
    if (!ok) return;
    setBusy(true);
    await act(`${regionName(region)} is dead`, () => fault("kill", region));
    setBusy(false);
  };
  return <button class="danger" disabled={busy} data-action={"kill-" + region} onClick={kill}>Kill</button>;
}

export function Heal({ region }: { region: string }) {
  const [busy, setBusy] = useState(false);
  const heal = async () => {
    setBusy(true);
    await act(`${regionName(region)} serves again`, () => fault("heal", region));
    setBusy(false);
  };
  return <button class="primary" disabled={busy} data-action={"heal-" + region} onClick={heal}>{busy ? "Healing …" : "Heal"}</button>;
}

export function Operate() {
  const { frame, session } = useStore();
  if (!frame) return null;
  return (
    <section class="stack">
      <h2>Operate</h2>
      <div class="columns">
        <Switches frame={frame} />
        {session?.faults ? <GameDay frame={frame} /> : <div class="panel"><h3>Game day</h3><p class="muted">Faults are made by the supervisor of <code>proa up</code>. This node runs without one: break a real region with its own tools, and watch here.</p></div>}
      </div>
      <DrillPanel />
      <Configuration />
      <Audit />
    </section>
  );
}

function Switches({ frame }: { frame: Frame }) {
  const live = frame.live;
  const [reason, setReason] = useState("");
  const [refusal, setRefusal] = useState("");
  const target = other(live.plan.active);
  const explain = usePoll<any>("/v1/node/explain", 2000, live.plan.version).data;
  const order = async (what: string, body: any, text: string, danger = false) => {
    setRefusal("");
    if (!(await confirm(what + "?", <p>{text}</p>, what, danger))) return;
    try {
      await post("/v1/node/traffic", { by: "console", reason, ...body });
    } catch (e) {
      setRefusal((e as Error).message);
    }
  };
  return (
    <div class="panel" data-panel="switches">
      <h3>Traffic</h3>
      <p class="lead">Traffic goes to {regionName(live.plan.active)} by plan {live.plan.version}.</p>
      <p class="muted">{live.plan.reason}</p>
      <label class="field">Reason, for the record<input value={reason} onInput={(e) => setReason(e.currentTarget.value)} placeholder="maintenance of aws" /></label>
      <div class="row wrap">
        <button class="primary" data-action="switchover" onClick={() => order(`Switch over to ${regionName(target)}`, { action: "switchover", to: target }, `Planned, without a loss: it waits until ${regionName(target)} serves and every write has crossed. It is refused where that would leave nothing serving.`)}>Switch over to {regionName(target)}</button>
        {live.plan.active !== live.primary ? <button data-action="failback" onClick={() => order(`Fail back to ${regionName(live.primary)}`, { action: "failback" }, "Back to the preferred region once every write has crossed.")}>Fail back to {regionName(live.primary)}</button> : null}
        {live.held ? null : <button data-action="hold" onClick={() => order("Hold", { action: "hold" }, "No automatic switch is made until you release it, not even when the serving region fails.")}>Hold</button>}
        {live.held || explain?.pending ? <button data-action="release" onClick={() => order("Release", { action: "release" }, "Ends the hold, or the switchover that still waits.")}>Release</button> : null}
        <button class="danger" data-action="force" onClick={() => order(`Force ${regionName(target)}`, { action: "force", to: target }, `Now, whatever health and data say. It needs a reason and is on the record. Writes that have not crossed stay behind.`, true)}>Force {regionName(target)}</button>
      </div>
      {refusal ? <p class="error" role="alert" data-refusal>Refused: {refusal}</p> : null}
      {live.held ? <p class="strip">{live.held}</p> : null}
      <h4>What could move it next</h4>
      <ul class="plain">
        {(explain?.next ?? []).map((t: any) => <li key={t.cause + t.to}><b>{t.cause}</b> to {regionName(t.to)}{t.blocked.length === 0 ? ": now" : ":"}<ul>{t.blocked.map((b: string) => <li key={b}>{b}</li>)}</ul></li>)}
      </ul>
      {explain ? <p class="muted">{explain.budget.used} of {explain.budget.limit} switches of this hour's budget are used.</p> : null}
      <h4>Plans</h4>
      <ol class="plain" reversed>
        {(explain?.history ?? []).slice(-6).reverse().map((p: any) => <li key={p.plan.version}><span class="muted">{day(p.plan.since)}</span> <b>plan {p.plan.version}</b> → {regionName(p.plan.active)}: {p.plan.reason}</li>)}
      </ol>
    </div>
  );
}

function GameDay({ frame }: { frame: Frame }) {
  const [region, setRegion] = useState("aws");
  const at = new Date(frame.at).getTime();
  const list: any[] = frame.faults?.faults ?? [];
  const died = Object.entries(frame.faults?.died ?? {});
  const healAll = () => act("Everything is well again", () => fault("heal", "all"));
  return (
    <div class="panel" data-panel="game">
      <div class="row"><h3>Game day</h3><span class="spacer" />{list.length + died.length > 0 ? <button class="primary" data-action="heal-all" onClick={healAll}>Heal everything</button> : null}</div>
      {frame.faults?.error ? <p class="error">{frame.faults.error}</p> : null}
      {list.length + died.length === 0 ? <p class="muted">Nothing is broken on purpose.</p> : (
        <ul class="plain faults">
          {died.map(([r, t]) => <li key={r}><b>{regionName(r)}</b> is down since {ago(t as string, at)} <Heal region={r} /></li>)}
          {list.map((x) => <li key={x.target + x.kind}><b>{regionName(x.target)}</b> {x.kind}: {x.text} <span class="muted">{ago(x.since, at)}</span></li>)}
        </ul>
      )}
      <div class="tabs" role="tablist" aria-label="Region">
        {["aws", "azure"].map((r) => <button key={r} role="tab" aria-selected={region === r} onClick={() => setRegion(r)}>{regionName(r)}</button>)}
      </div>
      <div class="row wrap">
        {dead(frame, region) || faultsOf(frame, region).length > 0 ? <Heal region={region} /> : null}
        {dead(frame, region) ? null : <Kill region={region} />}
        {dead(frame, region) ? null : <button data-action={"freeze-" + region} onClick={async () => { if (await confirm(`Freeze ${regionName(region)}?`, <p>Its processes stop (SIGSTOP) with every connection open, as on a machine that hangs.</p>, "Freeze", true)) await act(`${regionName(region)} is frozen`, () => fault("freeze", region)); }}>Freeze</button>}
      </div>
      <Fields key={"b" + region} title="Brown-out" verb="brownout" region={region} fields={[
        { name: "latency_ms", label: "Latency, ms", value: "300" }, { name: "jitter_ms", label: "Jitter, ms", value: "50" },
        { name: "error_rate", label: "Errors, 0 to 1", value: "0.2" }, { name: "reset_rate", label: "Resets, 0 to 1", value: "0" },
      ]} scopes={["users", "data", "all"]} />
      <Fields key={"p" + region} title="Partition" verb="partition" region={region} fields={[]} scopes={["data", "users", "all"]} direction />
      <Fields key={"s" + region} title="Clock skew" verb="skew" region={region} fields={[{ name: "offset_ms", label: "Offset, ms", value: "30000" }]} />
      <Fields key={"t" + region} title="Throttling" verb="throttle" region={region} fields={[{ name: "rate", label: "Share refused, 0 to 1", value: "0.5" }]} />
    </div>
  );
}

type FieldProps = { title: string; verb: string; region: string; fields: { name: string; label: string; value: string }[]; scopes?: string[]; direction?: boolean };

function Fields({ title, verb, region, fields, scopes, direction }: FieldProps) {
  const [values, setValues] = useState<Record<string, string>>(() => Object.fromEntries(fields.map((f) => [f.name, f.value])));
  const [scope, setScope] = useState(scopes?.[0] ?? "");
  const [way, setWay] = useState("both");
  const apply = async (e: Event) => {
    e.preventDefault();
    const body: Record<string, unknown> = {};
    for (const f of fields) body[f.name] = Number(values[f.name]);
    if (scopes) body.scope = scope;
    if (direction) body.direction = way;
    if (!(await confirm(`${title} of ${regionName(region)}?`, <p>It lasts until you heal it.</p>, "Do it", true))) return;
    await act(`${title} of ${regionName(region)} is in force`, () => fault(verb, region, body));
  };
  return (
    <form class="fault-form" onSubmit={apply} data-fault={verb}>
      <h4>{title}</h4>
      <div class="row wrap">
        {fields.map((f) => <label key={f.name} class="field">{f.label}<input inputMode="decimal" value={values[f.name]} onInput={(e) => setValues({ ...values, [f.name]: e.currentTarget.value })} /></label>)}
        {direction ? <label class="field">Lost<select value={way} onChange={(e) => setWay(e.currentTarget.value)}><option value="both">both directions</option><option value="to">what is sent to it</option><option value="from">what it answers</option></select></label> : null}
        {scopes ? <label class="field">For<select value={scope} onChange={(e) => setScope(e.currentTarget.value)}>{scopes.map((s) => <option key={s} value={s}>{s === "data" ? "data sync" : s === "users" ? "users and probes" : "all"}</option>)}</select></label> : null}
        <button data-action={`${verb}-${region}`}>Apply</button>
      </div>
    </form>
  );
}

/** plainly is an order without JSON's punctuation. */
function plainly(what: string): string {
  const at = what.indexOf("{");
  if (at < 0) return what;
  try {
    const body = Object.entries(JSON.parse(what.slice(at))).filter(([k]) => k !== "by");
    return what.slice(0, at) + body.map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ");
  } catch {
    return what;
  }
}

/** Configuration says which proa.yaml is in force, what its last change was, and what is refused or waits. */
function Configuration() {
  const { data, error } = usePoll<any>("/v1/node/config", 4000);
  if (!data?.file) return error ? <div class="panel"><h3>Configuration</h3><p class="error">{error}</p></div> : null;
  const table = (title: string, list: any[]) => (list ?? []).length === 0 ? null : (
    <div class="scroll">
      <table>
        <caption>{title}</caption>
        <thead><tr><th scope="col">Field</th><th scope="col">Was</th><th scope="col">Is</th><th scope="col">Takes effect</th></tr></thead>
        <tbody>{list.map((c) => <tr key={c.path}><th scope="row" class="mono">{c.path}</th><td class="mono">{c.old}</td><td class="mono">{c.new}</td><td>{c.live ? "at once" : "at the next start"}</td></tr>)}</tbody>
      </table>
    </div>
  );
  return (
    <div class="panel" data-panel="configuration">
      <h3>Configuration</h3>
      <p class="muted"><code>{data.file}</code>, read {day(data.loaded)}. It is read again when it changes.</p>
      {data.error ? <p class="error" role="alert">Refused at {clock(data.refused)}, the last good one stays in force: {data.error}</p> : null}
      {(data.files ?? []).filter((f: any) => f.error).map((f: any) => <p class="error" key={f.file}>{f.file}: {f.error}</p>)}
      {table("Changed last", data.changed)}
      {table("Waiting for a restart", data.waiting)}
    </div>
  );
}

function Audit() {
  const { data, error } = usePoll<{ entries: any[]; missing: string[] }>("/v1/audit", 4000);
  return (
    <div class="panel" data-panel="audit">
      <h3>What operators did</h3>
      <p class="muted">On every node and the supervisor, from this page and from the command line.</p>
      {error ? <p class="error">{error}</p> : null}
      {data?.missing?.length ? <p class="strip">Not heard: {data.missing.join(", ")}.</p> : null}
      <div class="scroll">
        <table>
          <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Result</th><th scope="col">Where</th></tr></thead>
          <tbody>{(data?.entries ?? []).slice(0, 60).map((e, n) => <tr key={n}><td class="nowrap" title={day(e.at)}>{clock(e.at)}</td><td>{e.who}</td><td class="mono">{plainly(e.what)}</td><td><span class={e.result === "ok" ? "muted" : "bad-text"}>{e.result}</span></td><td class="nowrap muted">{e.place}</td></tr>)}</tbody>
        </table>
      </div>
    </div>
  );
}
