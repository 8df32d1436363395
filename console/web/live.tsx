// The live view: the picture, what is happening now, and the details of what was picked.
import { useState } from "preact/hooks";
import { ago, clock, count, ms, plural, rate, regionName } from "./format";
import { arrowNames, crosses, names, regionOf, what } from "./layout";
import { arrowStats, boxView, crossing, dead, faultsOf, partsTo, statsOf } from "./model";
import { LagPlot, PartRows } from "./parts";
import { Picture, PictureTable } from "./picture";
import { Frame, Stats, Trace, usePoll, useStore } from "./store";
import { Bar, Steps, summary } from "./timeline";
import { Heal, Kill } from "./operate";
import { Plot } from "./plot";

export function Live() {
  const { frame, session } = useStore();
  const [selected, setSelected] = useState("");
  const [table, setTable] = useState(false);
  if (!frame) return null;
  return (
    <section class="live">
      <h2 class="sr">The system, live</h2>
      <div class="stage">
        {table ? <PictureTable frame={frame} onSelect={setSelected} /> : <Picture frame={frame} selected={selected} onSelect={setSelected} />}
        <div class="row under">
          <button class="quiet" aria-pressed={table} onClick={() => setTable(!table)}>{table ? "Show the picture" : "Show as tables"}</button>
          <span class="muted key"><i class="dot-key" />a request <i class="dot-key failed" />failed <i class="dot-key sync" />replication</span>
        </div>
        <RegionsPanel frame={frame} faults={!!session?.faults} />
      </div>
      <aside>
        {selected ? <Details frame={frame} what={selected} onClose={() => setSelected("")} /> : null}
        <NowPanel frame={frame} />
        {frame.live.warnings?.length ? <Warnings list={frame.live.warnings} /> : null}
      </aside>
    </section>
  );
}

function NowPanel({ frame }: { frame: Frame }) {
  const live = frame.live;
  const i = frame.incident;
  const at = new Date(frame.at).getTime();
  if (!i) {
    const traffic = (frame.stats["primary>apigateway"]?.rate ?? 0) + (frame.stats["failover>apim"]?.rate ?? 0);
    return (
      <div class="panel" data-panel="now">
        <h3>Now</h3>
        <p class="lead">All is well. Traffic goes to {regionName(live.plan.active)}.</p>
        <dl class="facts">
          <dt>Users</dt><dd>{rate(traffic)}</dd>
          <dt>Plan</dt><dd>{live.plan.version}, since {ago(live.plan.since, at)}</dd>
          <dt>Decided by</dt><dd>{live.quorum}{live.standby ? `; ${live.standby}` : ""}</dd>
        </dl>
        {live.held ? <p class="strip">{live.held}</p> : null}
        {(live.waiting ?? []).map((w: string) => <p class="strip" key={w}>{w}</p>)}
      </div>
    );
  }
  return (
    <div class="panel now" data-panel="now">
      <h3>Now</h3>
      <p class="lead">{summary(i)}</p>
      <Bar incident={i} />
      <Steps incident={i} />
    </div>
  );
}

function RegionsPanel({ frame, faults }: { frame: Frame; faults: boolean }) {
  const live = frame.live;
  return (
    <div class="regions">
      {["aws", "azure"].map((r) => {
        const region = live.regions[r] ?? {};
        const d = (live.directions ?? []).find((x: any) => x.from === r);
        const gone = dead(frame, r);
        const state = gone || region.health === "unhealthy" ? "bad" : region.health === "unknown" ? "unknown" : faultsOf(frame, r).length ? "warn" : "good";
        return (
          <div class="panel" key={r} data-region={r}>
            <div class="row">
              <h3>{regionName(r)}</h3>
              {live.plan.active === r ? <span class="chip route">serves</span> : null}
              <span class={"chip " + state}>{gone ? "down" : region.health}</span>
              <span class="spacer" />
              {faults ? (gone || faultsOf(frame, r).length ? <Heal region={r} /> : <Kill region={r} />) : null}
            </div>
            {faultsOf(frame, r).map((x: any) => <p class="fault" key={x.kind}>{x.kind}: {x.text}</p>)}
            <dl class="facts">
              <dt>Lag to {regionName(r === "aws" ? "azure" : "aws")}</dt><dd>{d?.known ? (d.p50_ms !== null ? `${ms(d.p50_ms)}, p99 ${ms(d.p99_ms)}` : ms(d.lag_ms)) : "unknown"}</dd>
              <dt>Backlog</dt><dd>{d ? plural(d.backlog, "key") : "–"}</dd>
              <dt>Not replicated</dt><dd>{region.unreplicated === null ? "unknown" : plural(region.unreplicated, "write")}</dd>
            </dl>
          </div>
        );
      })}
    </div>
  );
}

export function Warnings({ list }: { list: string[] }) {
  return <div class="panel"><h3>Warnings</h3><ul class="plain">{list.map((w) => <li key={w}>{w}</li>)}</ul></div>;
}

function Figures({ s }: { s: Stats }) {
  return (
    <dl class="figures">
      <div><dt>Rate</dt><dd>{rate(s.rate)}</dd></div>
      <div><dt>Errors</dt><dd class={s.error_rate > 0 ? "bad" : ""}>{rate(s.error_rate)}</dd></div>
      <div><dt>p50</dt><dd>{ms(s.p50_ms)}</dd></div>
      <div><dt>p99</dt><dd>{ms(s.p99_ms)}</dd></div>
      <div><dt>In all</dt><dd>{count(s.total)}</dd></div>
    </dl>
  );
}

function Details({ frame, what: id, onClose }: { frame: Frame; what: string; onClose: () => void }) {
  const arrow = id.includes(">");
  const s = arrow ? arrowStats(frame, id) : statsOf(frame, id);
  const [from, to] = id.split(">");
  const title = arrow ? `${names[from]} → ${names[to]}` : names[id];
  const v = arrow ? null : boxView(frame, id);
  return (
    <div class="panel details" data-details={id}>
      <div class="row"><h3>{title}</h3>{v ? <span class={"chip " + v.state}>{v.word}</span> : null}<span class="spacer" /><button class="quiet" aria-label="Close the details" onClick={onClose}>×</button></div>
      <p class="muted">{arrow ? crosses[id] : what[id]}</p>
      <Figures s={s} />
      {arrow ? <ArrowFacts frame={frame} arrow={id} /> : <BoxFacts frame={frame} box={id} />}
      {s.last ? <p class="fault">Last error, {clock(s.last.at)}: {s.last.text}</p> : null}
      <Plot range="1h" title="Last hour, a second" series={[{ name: id + " rate", label: "requests", color: "--accent" }, { name: id + " errors", label: "errors", color: "--bad" }]} height={110} />
      {arrow || (v && v.stats && v.stats.total > 0) ? <Traces arrow={arrow ? id : ""} box={arrow ? "" : id} /> : null}
    </div>
  );
}

function BoxFacts({ frame, box }: { frame: Frame; box: string }) {
  const live = frame.live;
  const region = regionOf[box];
  if (box === "apigateway" || box === "apim") return <dl class="facts"><dt>Endpoint</dt><dd class="mono">{live.regions[region]?.gateway}</dd></dl>;
  if (box === "health") {
    return (
      <ul class="plain votes">
        {live.votes.map((v: any) => <li key={v.vantage + v.region}><b>{v.vantage}</b> on {regionName(v.region)}: <span class={"chip " + (v.health === "healthy" ? "good" : v.health === "unhealthy" ? "bad" : "unknown")}>{v.health}</span> <span class="muted">{v.reason}</span></li>)}
      </ul>
    );
  }
  if (box === "cloudwatch" || box === "monitor") {
    const c = live.checks.find((x: any) => x.region === region && /alarm|monitor|watch/i.test(x.name));
    return c ? <p class="muted">It says {c.health}: {c.reason}</p> : null;
  }
  if (region && live.regions[region]) return <p class="muted">{regionName(region)} is {live.regions[region].health}: {live.regions[region].reason}</p>;
  if (box === "conflicts") return <p><a href="#conflicts">Open the conflict inspector</a></p>;
  if (box === "replication" || box === "events") return <p><a href="#data">Open the data view</a></p>;
  return null;
}

/** ArrowFacts is what an arrow carries beside its counters. */
function ArrowFacts({ frame, arrow }: { frame: Frame; arrow: string }) {
  const live = frame.live;
  const sync = crossing(arrow);
  if (sync) {
    const parts = partsTo(frame, sync.to, sync.objects);
    if (parts.length === 0) return <p class="muted">No {sync.objects ? "bucket" : "table"} is replicated.</p>;
    return <><PartRows parts={parts} />{parts.slice(0, 2).map((p) => <LagPlot key={p.table ?? p.bucket} part={p} height={90} />)}</>;
  }
  if (arrow === "events>replication") return <PartRows parts={live.parts ?? []} direction />;
  if (arrow === "replication>conflicts") return <p><a href="#conflicts">{plural(live.kept, "kept loser")}: open the conflict inspector</a></p>;
  if (arrow === "cloudwatch>health" || arrow === "monitor>health") return <BoxFacts frame={frame} box={arrow.split(">")[0]} />;
  if (arrow === "request>routing" || arrow === "routing>health") return <dl class="facts"><dt>Zone</dt><dd>{live.zone}</dd><dt>Answers by</dt><dd>plan {live.published.version}, TTL {live.ttl_seconds} s</dd></dl>;
  const region = regionOf[arrow.split(">")[1]] ?? (arrow === "health>primary" ? "aws" : "azure");
  return <dl class="facts"><dt>{regionName(region)}</dt><dd>{live.regions[region]?.health}{live.plan.active === region ? ", serves" : ", stands by"}</dd><dt>Endpoint</dt><dd class="mono">{live.regions[region]?.gateway}</dd></dl>;
}

function Traces({ arrow, box }: { arrow: string; box: string }) {
  const { data } = usePoll<{ traces: Trace[] }>("/v1/traces?arrow=" + encodeURIComponent(arrow), 2500);
  let list = data?.traces ?? [];
  if (box) list = list.filter((t) => t.spans.some((s) => s.arrow.split(">").includes(box)));
  if (list.length === 0) return null;
  return (
    <div>
      <h4>Followed requests</h4>
      {list.slice(0, 4).map((t) => <Waterfall key={t.id} trace={t} />)}
    </div>
  );
}

function Waterfall({ trace }: { trace: Trace }) {
  const zero = new Date(trace.start).getTime();
  const first = trace.spans[0];
  const end = Math.max(...trace.spans.map((s) => new Date(s.start).getTime() - zero + s.ms), 0.001);
  return (
    <div class="waterfall">
      <p class="muted">{clock(trace.start, true)} · {ms(first.ms)} · <span class="mono">{trace.id.slice(0, 8)}</span></p>
      {trace.spans.map((s) => (
        <div key={s.id} class={s.error ? "failed" : ""} title={s.error || s.process}>
          <span>{s.arrow.replace(">", " → ")}</span>
          <i><b style={{ marginLeft: `${Math.min(98, ((new Date(s.start).getTime() - zero) / end) * 100)}%`, width: `${Math.max(2, (s.ms / end) * 100)}%` }} /></i>
          <em>{ms(s.ms)}</em>
        </div>
      ))}
    </div>
  );
}
