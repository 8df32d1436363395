// A plot of the history with uPlot, in the page's own colours, with a sentence for those who cannot see it.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { useMedia } from "./media";
import { usePoll } from "./store";

export type Series = { name: string; label: string; color: string };
type Props = { range: string; title: string; series: Series[]; height?: number; unit?: (v: number) => string; given?: any };

export const historyOf = (range: string, names: string[]) => `/v1/history?range=${range}&series=${encodeURIComponent(names.join(","))}`;

const brief = (v: number) => (Math.abs(v) >= 1000 ? (v / 1000).toFixed(1) + "k" : Math.abs(v) >= 10 || Number.isInteger(v) ? v.toFixed(0) : v.toFixed(1));

/** Plot fetches its own series, or draws those that are given. */
export function Plot({ range, title, series, height = 150, unit = brief, given }: Props) {
  const names = series.map((s) => s.name).join(",");
  const own = usePoll<any>(given === undefined ? historyOf(range, series.map((s) => s.name)) : "", range === "1h" ? 5000 : 30_000);
  const data = given === undefined ? own.data : given, error = own.error;
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const values = data ? [data.times, ...series.map((s) => data.series[s.name] ?? [])] : null;
  useEffect(() => {
    if (!values || !box.current) return;
    if (plot.current) {
      plot.current.setData(values as any);
      return;
    }
    const css = getComputedStyle(box.current);
    const color = (name: string) => {
      const probe = document.createElement("i");
      probe.style.color = `var(${name})`;
      box.current!.append(probe);
      const c = getComputedStyle(probe).color;
      probe.remove();
      return c;
    };
    const muted = color("--muted"), line = color("--line");
    const font = `11px ${css.fontFamily}`;
    plot.current = new uPlot({
      width: box.current.clientWidth || 300, height, cursor: { y: false }, legend: { show: false },
      axes: [
        { stroke: muted, font, grid: { show: false }, ticks: { stroke: line, size: 4 }, space: 70, size: 26, values: (_, ticks) => ticks.map((t) => when(t, range)) },
        { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 54, values: (_, ticks) => ticks.map(unit) },
      ],
      scales: { y: { range: (_, lo, hi) => [Math.min(0, lo ?? 0), Math.max(hi ?? 0, 1) * 1.08] } },
      series: [{}, ...series.map((s) => ({ label: s.label, stroke: color(s.color), width: 1.5, points: { show: false }, spanGaps: false }))],
    }, values as any, box.current);
  }, [data, theme]);
  useEffect(() => {
    if (!box.current) return;
    const o = new ResizeObserver(() => { if (box.current) plot.current?.setSize({ width: box.current.clientWidth, height }); });
    o.observe(box.current);
    return () => { o.disconnect(); plot.current?.destroy(); plot.current = null; };
  }, [range, names, theme]);
  const last = (s: Series) => (data?.series[s.name] ?? []).filter((v: any) => v !== null).at(-1);
  return (
    <figure class="plot" data-plot={title}>
      <figcaption><span>{title}</span>{series.map((s) => <span key={s.name} class="swatch"><i style={{ background: `var(${s.color})` }} />{s.label} <b>{last(s) === undefined ? "–" : unit(last(s))}</b></span>)}</figcaption>
      {error ? <p class="error">{error}</p> : null}
      <div ref={box} role="img" aria-label={`${title}: ` + series.map((s) => `${s.label} ${last(s) === undefined ? "not known" : unit(last(s))}`).join(", ")} style={{ minHeight: `${height}px` }} />
    </figure>
  );
}

/** useTheme changes when the page's colours do: a plot is painted in them. */
function useTheme(): string {
  const dark = useMedia("(prefers-color-scheme: dark)");
  const [chosen, setChosen] = useState(document.documentElement.dataset.theme ?? "");
  useEffect(() => {
    const o = new MutationObserver(() => setChosen(document.documentElement.dataset.theme ?? ""));
    o.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => o.disconnect();
  }, []);
  return chosen || (dark ? "dark" : "light");
}

function when(t: number, range: string): string {
  const d = new Date(t * 1000);
  const hm = `${String(d.getHours()).padStart(2, "0")}:${String(d.getMinutes()).padStart(2, "0")}`;
  return range === "30d" ? `${d.getDate()}.${d.getMonth() + 1}.` : range === "1h" ? hm + ":" + String(d.getSeconds()).padStart(2, "0") : hm;
}
