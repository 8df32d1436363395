// Tables and buckets, each direction by itself.
import { useState } from "preact/hooks";
import { clock, count, ms, other, plural, rate, regionName } from "./format";
import { partName } from "./model";
import { Plot } from "./plot";
import { Frame } from "./store";

const lagOf = (p: any) => (p.known ? ms(p.p50_ms ?? p.lag_ms) : "unknown");
const seriesOf = (p: any, what: string) => `${p.bucket ? "bucket" : "table"} ${partName(p)} ${p.from} ${what}`;
const stateOf = (p: any): [string, string] =>
  !p.known ? ["bad", "not read"] : p.scanning ? ["warn", "scanning"] : p.quarantined > 0 ? ["warn", plural(p.quarantined, "key") + " quarantined"] : p.error ? ["warn", "errors"] : ["good", "live"];

/** PartRows lists directions of tables and buckets. */
export function PartRows({ parts, direction = false }: { parts: any[]; direction?: boolean }) {
  return (
    <div class="scroll">
      <table>
        <thead><tr><th scope="col">Of</th>{direction ? <th scope="col">From</th> : null}<th scope="col">State</th><th scope="col" class="n">Lag</th><th scope="col" class="n">Waiting</th></tr></thead>
        <tbody>{parts.map((p) => <tr key={seriesOf(p, "")}><th scope="row" class="mono">{partName(p)}</th>{direction ? <td>{regionName(p.from)}</td> : null}<td><span class={"chip " + stateOf(p)[0]}>{stateOf(p)[1]}</span></td><td class="n">{lagOf(p)}</td><td class="n">{count(p.backlog)}</td></tr>)}</tbody>
      </table>
    </div>
  );
}

/** LagPlot is one direction's lag. */
export function LagPlot({ part, height }: { part: any; height: number }) {
  return <Plot range="1h" title={`Lag of ${partName(part)}, last hour`} unit={(v) => ms(v)} series={[{ name: seriesOf(part, "lag"), label: "lag", color: "--sync" }]} height={height} />;
}

/** Parts shows every table and bucket in both directions, and plots of the one that is picked: at first, of the one furthest behind. */
export function Parts({ frame }: { frame: Frame }) {
  const [picked, setPicked] = useState("");
  const parts: any[] = frame.live.parts ?? [];
  const groups = new Map<string, any[]>();
  for (const p of parts) {
    const id = (p.bucket ? "bucket " : "table ") + partName(p);
    groups.set(id, [...(groups.get(id) ?? []), p]);
  }
  if (groups.size === 0) return null;
  const ids = [...groups.keys()];
  const chosen = groups.has(picked) ? picked : ids[0];
  return (
    <div class="panel" data-panel="parts">
      <h3>Tables and buckets</h3>
      <div class="scroll">
        <table>
          <thead>
            <tr><th scope="col">Table or bucket</th><th scope="col">Direction</th><th scope="col">State</th><th scope="col" class="n">Lag p50</th><th scope="col" class="n">p99</th><th scope="col" class="n">Backlog</th><th scope="col" class="n">Applied</th><th scope="col" class="n">Equal through</th></tr>
          </thead>
          {ids.map((id) => (
            <tbody key={id} class={id === chosen ? "picked" : ""}>
              {groups.get(id)!.map((p, n) => (
                <tr key={p.from} data-part={`${id} ${p.from}`}>
                  {n === 0 ? <th scope="rowgroup" rowSpan={groups.get(id)!.length}><button class="link" aria-pressed={id === chosen} onClick={() => setPicked(id)}>{partName(p)}</button><br /><span class="muted">{p.bucket ? "bucket" : "table"}</span></th> : null}
                  <td class="nowrap">{regionName(p.from)} → {regionName(other(p.from))}</td>
                  <td><span class={"chip " + stateOf(p)[0]} title={p.error ?? ""}>{stateOf(p)[1]}</span></td>
                  <td class="n">{lagOf(p)}</td><td class="n">{ms(p.p99_ms)}</td><td class="n">{count(p.backlog)}</td><td class="n">{rate(p.per_second)}</td><td class="n">{clock(p.through)}</td>
                </tr>
              ))}
            </tbody>
          ))}
        </table>
      </div>
      <PartPlots key={chosen} name={chosen} parts={groups.get(chosen)!} />
    </div>
  );
}

function PartPlots({ name, parts }: { name: string; parts: any[] }) {
  const both = (what: string) => parts.map((p) => ({ name: seriesOf(p, what), label: `${regionName(p.from)} → ${regionName(other(p.from))}`, color: "--" + p.from }));
  return (
    <div class="columns" data-plots={name}>
      <Plot range="1h" title={`Lag of ${partName(parts[0])}, last hour`} unit={(v) => ms(v)} series={both("lag")} height={130} />
      <Plot range="1h" title={`Backlog of ${partName(parts[0])}, ${parts[0].bucket ? "objects" : "keys"}`} series={both("backlog")} height={130} />
    </div>
  );
}
