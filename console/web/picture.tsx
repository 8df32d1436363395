// The picture: eighteen boxes, twenty arrows, moving dots, and the same as a table.
import { useLayoutEffect, useRef } from "preact/hooks";
import { startDots } from "./dots";
import { count, ms, rate } from "./format";
import { arrowNames, Layout, names, narrow, regionOf, wide } from "./layout";
import { arrowStats, boxView, describeArrow, describeBox, lagOn } from "./model";
import { useMedia } from "./media";
import { Frame } from "./store";

const order = Object.keys(names);

type Props = { frame: Frame; selected: string; onSelect: (what: string) => void };

export function Picture({ frame, selected, onSelect }: Props) {
  const small = useMedia("(max-width: 760px)");
  const still = useMedia("(prefers-reduced-motion: reduce)");
  const layout = small ? narrow : wide;
  const layer = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  useLayoutEffect(() => {
    if (still || !layer.current || !svg.current) return;
    const paths: Record<string, SVGPathElement> = {};
    svg.current.querySelectorAll<SVGPathElement>("path[data-arrow]").forEach((p) => { paths[p.dataset.arrow!] = p; });
    return startDots(layer.current, layout, paths);
  }, [layout, still]);
  return (
    <div class="picture" style={{ aspectRatio: `${layout.width} / ${layout.height}` }}>
      <svg ref={svg} viewBox={`0 0 ${layout.width} ${layout.height}`} role="group" aria-label="The system: boxes and arrows. Press Enter on one for its details.">
        <defs>
          <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0.8 L7 4 L0 7.2" class="head" /></marker>
        </defs>
        {layout.lanes.map((l) => (
          <g key={l.id} class={"lane " + l.id}>
            <rect x={l.x} y={l.y} width={l.w} height={l.h} rx={small ? 8 : 12} />
            {small && l.id === "traffic" ? <text x={l.w / 2} y={166} class="lane-name" text-anchor="middle">{l.name}</text> : <text x={l.x + 14} y={l.y + (small ? 17 : 21)} class="lane-name">{l.name}</text>}
          </g>
        ))}
        {inDrawingOrder(frame).map((a) => <ArrowShape key={a} frame={frame} arrow={a} layout={layout} selected={selected === a} onSelect={onSelect} />)}
        {order.map((b) => <BoxShape key={b} frame={frame} box={b} layout={layout} small={small} selected={selected === b} onSelect={onSelect} />)}
      </svg>
      <div ref={layer} class="dots" aria-hidden="true" />
    </div>
  );
}

/** inDrawingOrder puts what is in use on top of what is not. */
const inDrawingOrder = (f: Frame) => Object.keys(arrowNames).sort((a, b) => Number(arrowStats(f, a).rate > 0) - Number(arrowStats(f, b).rate > 0));

const open = (f: () => void) => (e: KeyboardEvent) => {
  if (e.key === "Enter" || e.key === " ") { e.preventDefault(); f(); }
};

function ArrowShape({ frame, arrow, layout, selected, onSelect }: { frame: Frame; arrow: string; layout: Layout; selected: boolean; onSelect: (w: string) => void }) {
  const s = arrowStats(frame, arrow);
  const state = s.error_rate > 0 && s.error_rate / Math.max(s.rate, 0.001) > 0.01 ? "failing" : s.rate > 0 ? "busy" : "quiet";
  const note = layout.notes[arrow];
  const pick = () => onSelect(arrow);
  return (
    <g class={`arrow ${state} ${selected ? "selected" : ""}`} role="button" tabindex={0} aria-label={describeArrow(frame, arrow)} onClick={pick} onKeyDown={open(pick)}>
      <path d={layout.arrows[arrow]} class="hit" />
      <path d={layout.arrows[arrow]} class="line" data-arrow={arrow} marker-end="url(#head)" />
      {note ? <text x={note.x} y={note.y} class="note" text-anchor={note.anchor ?? "start"}>{lagOn(frame, arrow)}</text> : null}
    </g>
  );
}

function BoxShape({ frame, box, layout, small, selected, onSelect }: { frame: Frame; box: string; layout: Layout; small: boolean; selected: boolean; onSelect: (w: string) => void }) {
  const v = boxView(frame, box);
  const { x, y } = layout.boxes[box];
  const pick = () => onSelect(box);
  const failing = v.stats && v.stats.error_rate > 0 && v.state !== "bad";
  return (
    <g class={`box ${v.state} ${regionOf[box] ?? ""} ${selected ? "selected" : ""}`} data-box={box} role="button" tabindex={0} aria-label={describeBox(v)} aria-pressed={selected} onClick={pick} onKeyDown={open(pick)} transform={`translate(${x} ${y})`}>
      <rect width={layout.boxW} height={layout.boxH} rx={small ? 7 : 9} />
      <Mark state={v.state} x={small ? 12 : 17} y={small ? 18 : 22.5} />
      <text x={small ? 21 : 28} y={small ? 22 : 27} class="name">{small ? shorter[box] ?? names[box] : names[box]}</text>
      <text x={small ? 8 : 13} y={small ? 42 : 49} class="line">{small ? compact(v.line) : failing ? `${rate(v.stats!.rate)} · ${rate(v.stats!.error_rate)} errors` : v.line}</text>
    </g>
  );
}

const shorter: Record<string, string> = {
  request: "Requests", routing: "DNS", health: "Health", primary: "To AWS", failover: "To Azure", apigateway: "API Gateway", apim: "API Mgmt",
  monitor: "Monitor", blob: "Blob", replication: "Replication",
};
const compact = (line: string) => line.replace(" · p99 ", " · ").replace(" DNS queries", "").replace("traffic → ", "→ ").replace("nothing waiting", "caught up").replace(" kept losers", " kept").replace(" kept loser", " kept");

/** Mark shows a state by its shape, not by its colour alone. */
export function Mark({ state, x, y }: { state: string; x: number; y: number }) {
  switch (state) {
    case "good": return <circle class="mark good" cx={x} cy={y} r="4" />;
    case "warn": return <path class="mark warn" d={`M${x} ${y - 5} L${x + 5.5} ${y + 4.5} L${x - 5.5} ${y + 4.5} Z`} />;
    case "bad": return <path class="mark bad" d={`M${x - 4} ${y - 4} L${x + 4} ${y + 4} M${x + 4} ${y - 4} L${x - 4} ${y + 4}`} />;
    case "unknown": return <circle class="mark unknown" cx={x} cy={y} r="4" />;
  }
  return <path class="mark idle" d={`M${x - 4} ${y} L${x + 4} ${y}`} />;
}

export function PictureTable({ frame, onSelect }: { frame: Frame; onSelect: (what: string) => void }) {
  return (
    <div class="tables">
      <table>
        <caption>Boxes</caption>
        <thead><tr><th scope="col">Box</th><th scope="col">State</th><th scope="col">What</th><th scope="col" class="n">Rate</th><th scope="col" class="n">Errors</th><th scope="col" class="n">p50</th><th scope="col" class="n">p99</th></tr></thead>
        <tbody>
          {order.map((b) => {
            const v = boxView(frame, b);
            return (
              <tr key={b}>
                <th scope="row"><button class="link" onClick={() => onSelect(b)}>{names[b]}</button></th>
                <td><span class={"chip " + v.state}>{v.word}</span></td><td>{v.line}</td>
                <td class="n">{rate(v.stats?.rate)}</td><td class="n">{rate(v.stats?.error_rate)}</td><td class="n">{ms(v.stats?.p50_ms)}</td><td class="n">{ms(v.stats?.p99_ms)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <table>
        <caption>Arrows</caption>
        <thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col">What crosses it</th><th scope="col" class="n">Rate</th><th scope="col" class="n">Errors</th><th scope="col" class="n">p99</th><th scope="col" class="n">In all</th></tr></thead>
        <tbody>
          {Object.keys(arrowNames).map((a) => {
            const [from, to] = a.split(">");
            const s = arrowStats(frame, a);
            return (
              <tr key={a}>
                <td>{names[from]}</td><td>{names[to]}</td><td><button class="link" onClick={() => onSelect(a)}>{arrowNames[a]}</button></td>
                <td class="n">{rate(s.rate)}</td><td class="n">{rate(s.error_rate)}</td><td class="n">{ms(s.p99_ms)}</td><td class="n">{count(s.total)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
