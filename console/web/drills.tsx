// Drills: begin one, watch it, stop it, and what came of each.
import { useEffect, useRef, useState } from "preact/hooks";
import { act, confirm } from "./dialog";
import { ago, clock, count, day, ms, plural } from "./format";
import { post, usePoll, useStore } from "./store";

type Line = { at: string; text: string };
export type Drill = {
  id: string; scenarios: string[]; by: string; seed: number; repeat: number; started: string; ended: string | null;
  state: string; error?: string; missed?: string[]; lines: Line[];
};
type List = { drills: Drill[]; scenarios: { name: string; about: string }[]; attached: boolean };

const words: Record<string, [string, string]> = {
  running: ["warn", "under way"], passed: ["good", "passed"], missed: ["bad", "objectives missed"], failed: ["bad", "could not be carried out"],
  stopped: ["", "stopped"], lost: ["", "heard no more"],
};
const title = (d: Drill) => (d.scenarios.length > 3 ? `${d.scenarios.length} scenarios` : d.scenarios.join(", ")) + (d.repeat > 1 ? ` × ${d.repeat}` : "");

function Verdict({ state }: { state: string }) {
  const [kind, word] = words[state] ?? ["", state];
  return <span class={"chip " + kind} data-drill-state={state}>{word}</span>;
}

/** DrillStrip says on every view that a drill is under way. */
export function DrillStrip() {
  const d: Drill | null | undefined = useStore().frame?.drill;
  if (d?.state !== "running") return null;
  return <a class="drill-strip" href="#operate/drill" data-drill-strip><b>Drill: {title(d)}</b> <span>{d.lines.at(-1)?.text ?? "it begins"}</span></a>;
}

/** DrillPanel begins and shows the drill under way. */
export function DrillPanel() {
  const { frame } = useStore();
  const live: Drill | null = frame?.drill ?? null;
  const running = live?.state === "running";
  const { data, error } = usePoll<List>("/v1/drills", 0, live?.id + (live?.state ?? ""));
  const [wanted, setName] = useState("game-day");
  const [repeat, setRepeat] = useState("1");
  const [rate, setRate] = useState("");
  const [busy, setBusy] = useState(false);
  const scenarios = data?.scenarios ?? [];
  const name = wanted === "all" || scenarios.some((s) => s.name === wanted) ? wanted : scenarios[0]?.name;
  const begin = async (e: Event) => {
    e.preventDefault();
    const chosen = scenarios.find((s) => s.name === name);
    const names = name === "all" ? scenarios.map((s) => s.name) : [name];
    const text = data?.attached ? <><p>{chosen?.about}</p><p><b>It moves the users of your regions</b> to the other one and back, as planned switchovers, and writes orders of its own to the application meanwhile. It breaks nothing. Stopped, it gives traffic back first.</p></> : <><p>{chosen?.about ?? `All ${names.length} scenarios, one after the other; it takes some minutes.`}</p><p class="muted">It first heals what is broken, sends writes of its own, and breaks this system for real. When it ends, or is stopped, everything is healed.</p></>;
    if (!(await confirm(`Drill ${name}?`, text, "Begin the drill", true))) return;
    setBusy(true);
    await act("The drill has begun", () => post("/v1/drills", { scenarios: names, repeat: Number(repeat) || 1, rate: Number(rate) || 0 }));
    setBusy(false);
  };
  const stop = async () => {
    if (await confirm("Stop the drill?", <p>What it has broken is healed. What it had not finished measuring is not in the report.</p>, "Stop it")) await act("The drill is told to end", () => post("/v1/drills/stop"));
  };
  return (
    <div class="panel" data-panel="drill" id="drill">
      <div class="row"><h3>Drill</h3><span class="spacer" />{running ? <button class="danger" data-action="stop-drill" onClick={stop}>Stop</button> : null}</div>
      {error ? <p class="error">{error}</p> : null}
      {live ? <Watch drill={live} at={new Date(frame!.at).getTime()} /> : null}
      {running ? null : scenarios.length > 0 ? (
        <form class="row wrap" onSubmit={begin} data-form="drill">
          <label class="field">Scenario<select name="scenario" value={name} onChange={(e) => setName(e.currentTarget.value)}>{scenarios.map((s) => <option key={s.name} value={s.name}>{s.name}</option>)}<option value="all">all of them</option></select></label>
          <label class="field">Runs<input class="short" inputMode="numeric" value={repeat} onInput={(e) => setRepeat(e.currentTarget.value)} /></label>
          <label class="field">Writes a second<input class="short" inputMode="numeric" placeholder="as it says" value={rate} onInput={(e) => setRate(e.currentTarget.value)} /></label>
          <button class="danger" data-action="begin-drill" disabled={busy}>{busy ? "Beginning …" : "Begin"}</button>
          <p class="muted wide">{scenarios.find((s) => s.name === name)?.about ?? "Every scenario, one after the other."}</p>
        </form>
      ) : data ? <p class="muted">This node cannot begin drills. Run <code>proa drill switchover --config proa.yaml --yes</code>, and watch it here.</p> : null}
    </div>
  );
}

function Watch({ drill, at }: { drill: Drill; at: number }) {
  const whole = usePoll<Drill>(`/v1/drills/${drill.id}`, drill.state === "running" ? 1000 : 0, drill.state).data;
  const lines = whole && whole.lines.length > drill.lines.length ? whole.lines : drill.lines;
  const box = useRef<HTMLOListElement>(null);
  useEffect(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; }, [lines.length]);
  return (
    <>
      <p class="lead">{title(drill)} <Verdict state={drill.state} /></p>
      <p class="muted">by {drill.by}, begun {ago(drill.started, at)}{drill.seed ? `, seed ${drill.seed}` : ""}</p>
      {drill.error ? <p class="error">{drill.error}</p> : null}
      {(drill.missed ?? []).map((m) => <p class="error" key={m}>{m}</p>)}
      <ol class="plain log" ref={box} aria-label="What happened in the drill" tabindex={0}>{lines.map((l, n) => <li key={n}><time class="muted">{clock(l.at)}</time> {l.text}</li>)}</ol>
      {drill.ended ? <DrillReport id={drill.id} /> : null}
    </>
  );
}

/** DrillHistory lists the drills that the node has heard of. */
export function DrillHistory() {
  const d = useStore().frame?.drill;
  const { data, error } = usePoll<List>("/v1/drills", 10_000, d?.id + (d?.state ?? ""));
  const [open, setOpen] = useState("");
  const list = data?.drills ?? [];
  return (
    <div class="panel" data-panel="drills">
      <h3>Drills</h3>
      {error ? <p class="error">{error}</p> : null}
      {data && list.length === 0 ? <p class="muted">None yet. Begin one under Operate, or with <code>proa drill</code>.</p> : null}
      <ul class="plain">
        {list.map((x) => (
          <li key={x.id}>
            <button class="card" aria-expanded={open === x.id} onClick={() => setOpen(open === x.id ? "" : x.id)} data-drill={x.id}>
              <span class="row wrap"><b>{title(x)}</b><Verdict state={x.state} /><span class="spacer" /><span class="muted">{day(x.started)}</span></span>
              <span class="muted">by {x.by}{x.ended ? `, took ${ms(new Date(x.ended).getTime() - new Date(x.started).getTime())}` : ""}, seed {x.seed}</span>
            </button>
            {open === x.id ? <div class="opened">{x.error ? <p class="error">{x.error}</p> : null}<DrillReport id={x.id} quiet={!x.ended} /></div> : null}
          </li>
        ))}
      </ul>
    </div>
  );
}

const spread = (d: any) => (d && d.n > 0 ? (d.n === 1 || d.min === d.max ? ms(d.p50) : `${ms(d.p50)} (${ms(d.min)} to ${ms(d.max)})`) : "–");

function DrillReport({ id, quiet }: { id: string; quiet?: boolean }) {
  const { data, error } = usePoll<any>(quiet ? "" : `/v1/drills/${id}/report.json`, 0);
  if (quiet || error) return <p class="muted">There is no report: it ended before one scenario was done.</p>;
  if (!data) return <p class="muted" role="status">Reading the report …</p>;
  return (
    <div class="report" data-report={id}>
      {data.scenarios.map((s: any) => (
        <div key={s.name} class="scroll">
          <p><b>{s.name}</b> <Verdict state={s.missed.length > 0 ? "missed" : "passed"} /> <span class="muted">{s.about}</span></p>
          {s.missed.map((m: string) => <p class="error" key={m}>{m}</p>)}
          <table>
            <thead><tr><th scope="col">Phase</th><th class="n" scope="col">Detect</th><th class="n" scope="col">Decide</th><th class="n" scope="col">Publish</th><th class="n" scope="col">Clients</th><th class="n" scope="col">RTO</th><th class="n" scope="col">RPO</th><th class="n" scope="col">Records</th><th class="n" scope="col">Equal after</th></tr></thead>
            <tbody>{s.parts.map((p: any) => <tr key={p.phase}><th scope="row">{p.phase}</th>{[p.detect_ms, p.decide_ms, p.publish_ms, p.client_ms, p.rto_ms, p.rpo_ms].map((d, n) => <td class="n" key={n}>{spread(d)}</td>)}<td class="n">{p.rpo_records?.n ? count(p.rpo_records.max) : "–"}</td><td class="n">{spread(p.converge_ms)}</td></tr>)}</tbody>
          </table>
          <p class="muted">{plural(sum(s, "requests"), "write")}, {plural(sum(s, "failed"), "failure")}; {count(size(s, "lost"))} lost, {count(size(s, "late"))} late, {count(size(s, "conflicts"))} conflicting.</p>
        </div>
      ))}
      <p><a href={`/v1/drills/${id}/report.html`} target="_blank" rel="noopener">The whole report, with plots, to print</a> · <a href={`/v1/drills/${id}/report.json`} download={`drill-${id}.json`}>JSON</a></p>
    </div>
  );
}

const sum = (s: any, what: string) => s.runs.reduce((n: number, r: any) => n + r[what], 0);
const size = (s: any, what: string) => s.runs.reduce((n: number, r: any) => n + r[what].length, 0);
