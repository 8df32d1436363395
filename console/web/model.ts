// What a frame says of each box: its state and the line under its name.
import { arrowNames, names, regionOf } from "./layout";
import { count, ms, plural, rate, regionName } from "./format";
import { Frame, Stats } from "./store";

export type BoxState = "good" | "warn" | "bad" | "idle" | "unknown";
export type BoxView = { id: string; state: BoxState; word: string; line: string; stats: Stats | undefined };

const none: Stats = { total: 0, errors: 0, delta: 0, delta_errors: 0, rate: 0, error_rate: 0, p50_ms: null, p99_ms: null };

/** statsOf is a box's own counters, or where it has none those of the arrow that leads to it. */
export function statsOf(frame: Frame, box: string): Stats {
  const own = frame.stats[box];
  if (own && own.total > 0) return own;
  let best = own ?? none;
  for (const [arrow, s] of Object.entries(frame.stats)) {
    if (arrow.endsWith(">" + box) && s.total > (best.total ?? 0)) best = s;
  }
  return best;
}

/** arrowStats is an arrow's own counters, or those of the box it leads to: what runs in a vendor's cloud reports only its function. */
export function arrowStats(frame: Frame, arrow: string): Stats {
  const own = frame.stats[arrow];
  if (own && own.total > 0) return own;
  const to = arrow.split(">")[1];
  return (to === "lambda" || to === "functions") && frame.stats[to] ? frame.stats[to] : own ?? none;
}

export const dead = (f: Frame, region: string) => !!f.faults?.died?.[region];
export const faultsOf = (f: Frame, target: string) => (f.faults?.faults ?? []).filter((x: any) => x.target === target);

function trafficBox(f: Frame, id: string, s: Stats): BoxView | null {
  const live = f.live;
  const active = live.plan.active;
  switch (id) {
    case "request":
    {
      const q = f.stats["request>routing"] ?? s;
      return { id, state: q.rate > 0 ? "good" : "idle", word: q.rate > 0 ? "asking" : "quiet", line: `${rate(q.rate)} DNS queries`, stats: q };
    }
    case "routing": {
      const behind = live.published.version > 0 && live.published.version < live.plan.version;
      return { id, state: behind ? "warn" : "good", word: behind ? "behind" : "answering", line: `plan ${live.plan.version} · TTL ${live.ttl_seconds} s`, stats: s };
    }
    case "health": {
      const votes: any[] = live.votes ?? [];
      const down = Object.values(live.regions).filter((r: any) => r.health !== "healthy").length;
      const vantages = new Set(votes.map((v) => v.vantage)).size;
      return { id, state: down === 0 ? "good" : down === 2 ? "bad" : "warn", word: down === 0 ? "both healthy" : `${down} of 2 not healthy`, line: `${plural(vantages, "vantage")} · ${rate(s.rate)}`, stats: s };
    }
    case "primary":
    case "failover": {
      const region = id === "primary" ? "aws" : "azure";
      const on = active === region;
      return { id, state: on ? "good" : "idle", word: on ? "active" : "standby", line: on ? `traffic → ${regionName(region)}` : "standby", stats: s };
    }
  }
  return null;
}

function syncBox(f: Frame, id: string, s: Stats): BoxView | null {
  const directions: any[] = f.live.directions ?? [];
  const deaf = directions.filter((d) => !d.known).length;
  const backlog = directions.reduce((n, d) => n + d.backlog, 0);
  const state: BoxState = directions.length === 0 ? "unknown" : deaf > 0 ? "bad" : "good";
  switch (id) {
    case "events":
      return { id, state, word: deaf ? "a feed is not read" : "reading", line: `${rate(f.stats["events>replication"]?.rate ?? 0)} changes`, stats: s };
    case "replication":
      return {
        id, state: deaf ? "bad" : backlog > 1000 || f.live.quarantined > 0 ? "warn" : state, word: deaf ? "interrupted" : backlog > 0 ? "applying" : "caught up",
        line: backlog > 0 ? plural(backlog, "key") + " waiting" : "nothing waiting", stats: s,
      };
    case "conflicts":
      return { id, state: f.live.quarantined > 0 ? "warn" : "good", word: "resolved", line: plural(f.live.kept, "kept loser"), stats: s };
  }
  return null;
}

export function boxView(f: Frame, id: string): BoxView {
  const s = statsOf(f, id);
  const special = trafficBox(f, id, s) ?? syncBox(f, id, s);
  if (special) return special;
  const region = regionOf[id];
  const gone = dead(f, region);
  const health = f.live.regions[region]?.health;
  let state: BoxState = s.rate > 0 ? "good" : "idle";
  let word = s.rate > 0 ? "serving" : "idle";
  if (health === "unknown") [state, word] = ["unknown", "unknown"];
  if (s.rate > 0 && s.error_rate / s.rate > 0.01) [state, word] = ["warn", "errors"];
  if (faultsOf(f, region).length > 0) [state, word] = ["warn", "faults"];
  if (health === "unhealthy") [state, word] = ["bad", "unhealthy"];
  if (gone) [state, word] = ["bad", "down"];
  const line = gone ? "down" : `${rate(s.rate)} · p99 ${ms(s.p99_ms)}`;
  return { id, state, word, line, stats: s };
}

export function describeBox(v: BoxView): string {
  const errors = v.stats && v.stats.error_rate > 0 ? `, ${rate(v.stats.error_rate)} errors` : "";
  return `${names[v.id]}: ${v.word}, ${v.line}${errors}`;
}

export function describeArrow(f: Frame, arrow: string): string {
  const [from, to] = arrow.split(">");
  const s = arrowStats(f, arrow);
  return `${names[from]} to ${names[to]}, ${arrowNames[arrow]}: ${rate(s.rate)}, ${count(s.total)} in all`;
}

/** partsTo are the directions of tables (items) or buckets (objects) towards a region. */
export const partsTo = (f: Frame, to: string, objects: boolean): any[] => (f.live.parts ?? []).filter((p: any) => p.from !== to && !!p.bucket === objects);

/** partName is a table's or a bucket's. */
export const partName = (p: any): string => p.table || p.bucket;

/** crossing is what a sync arrow carries, and where to. */
export function crossing(arrow: string): { to: string; objects: boolean } | null {
  const box = arrow.split(">")[1];
  if (!arrow.startsWith("replication>") || !regionOf[box]) return null;
  return { to: regionOf[box], objects: box === "s3" || box === "blob" };
}

/** lagOn is the lag of what a sync arrow carries: of the tables, or of the buckets that are furthest behind. */
export function lagOn(f: Frame, arrow: string): string {
  const c = crossing(arrow);
  const d = c && (f.live.directions ?? []).find((x: any) => x.from !== c.to);
  if (!c || !d) return "";
  const parts = partsTo(f, c.to, c.objects);
  if (parts.length === 0) return "";
  if (parts.some((p) => !p.known)) return "lag unknown";
  if (!c.objects && d.p50_ms !== null) return `lag ${ms(d.p50_ms)} · p99 ${ms(d.p99_ms)}`;
  return `${c.objects ? "objects " : "lag "}${ms(Math.max(...parts.map((p) => p.lag_ms ?? 0)))}`;
}
