// Requests as moving dots. Each dot is an HTML element that the browser's compositor moves along an arrow (an animation of
// transform and opacity alone), so that the page's own thread starts dots twice a second and does nothing in between: elements are
// kept, invisible, until they are wanted again. The number in flight is bounded: above it, one dot stands for many requests.
import { Frame, onFrame, Trace } from "./store";
import { Layout } from "./layout";

const maxInFlight = 32;
const perArrow = 3; // dots an arrow and frame, at most
const legMS = 620;
const beatMS = 500; // between two frames of the feed

export function startDots(layer: HTMLElement, layout: Layout, paths: Record<string, SVGPathElement>): () => void {
  const idle: HTMLElement[] = [];
  const flying: { dot: HTMLElement; until: number }[] = [];
  const points: Record<string, { x: number; y: number }[]> = {};
  const lengths: Record<string, number> = {};
  for (const [name, path] of Object.entries(paths)) {
    lengths[name] = path.getTotalLength();
    points[name] = corners(layout.arrows[name]);
  }
  let scale = layer.clientWidth / layout.width;
  const resized = new ResizeObserver(() => {
    if (layer.clientWidth / layout.width === scale) return;
    scale = layer.clientWidth / layout.width;
    for (const { dot } of flying) dot.getAnimations().forEach((a) => a.cancel()); // they fly by the old scale
  });
  resized.observe(layer);

  function fly(arrows: string[], kind: string, delay: number) {
    if (flying.length >= maxInFlight) return;
    const route = arrows.filter((a) => points[a]);
    if (route.length === 0) return;
    let total = 0;
    const frames: { at: number; x: number; y: number }[] = [];
    for (const a of route) {
      const list = points[a];
      frames.push({ at: total, ...list[0] });
      for (let i = 1; i < list.length; i++) {
        total += Math.hypot(list[i].x - list[i - 1].x, list[i].y - list[i - 1].y);
        frames.push({ at: total, ...list[i] });
      }
      total += 60; // the time inside a box
    }
    const end = frames[frames.length - 1].at || 1;
    let dot = idle.pop();
    if (!dot) {
      dot = document.createElement("i");
      layer.append(dot);
    }
    dot.className = "dot " + kind;
    const duration = legMS * Math.max(1, end / 220);
    // All end together with others, invisible for a while before: each end costs the page's thread a frame.
    const length = Math.ceil((delay + duration) / beatMS) * beatMS - delay;
    const moving = duration / length;
    const steps: Keyframe[] = frames.map((f) => ({ offset: Math.min(1, f.at / end) * moving, opacity: 1, transform: `translate(${(f.x * scale).toFixed(1)}px, ${(f.y * scale).toFixed(1)}px)` }));
    const last = steps[steps.length - 1].transform;
    steps.push({ offset: moving, opacity: 0, transform: last }, { offset: 1, opacity: 0, transform: last });
    dot.animate(steps, { duration: length, delay });
    flying.push({ dot, until: performance.now() + delay + length + 50 });
  }

  function land() {
    const now = performance.now();
    for (let i = flying.length - 1; i >= 0; i--) {
      if (flying[i].until < now) idle.push(flying.splice(i, 1)[0].dot);
    }
  }

  function journey(t: Trace) {
    const arrows: string[] = [];
    let failed = false;
    for (const s of t.spans) {
      if (!arrows.includes(s.arrow)) arrows.push(s.arrow);
      failed = failed || !!s.error;
    }
    const chain = inOrder(arrows);
    if (chain.length > 0) fly(chain, failed ? "failed" : "", Math.random() * 450);
  }

  const stop = onFrame((f: Frame) => {
    if (document.hidden) return;
    land();
    const followed: Record<string, number> = {};
    for (const t of f.traces ?? []) {
      journey(t);
      for (const s of t.spans) followed[s.arrow] = (followed[s.arrow] ?? 0) + 1;
    }
    for (const arrow of Object.keys(points)) {
      const s = f.stats[arrow];
      if (!s || s.delta === 0) continue;
      const n = Math.min(perArrow, s.delta) - (followed[arrow] ?? 0);
      const failed = Math.ceil((s.delta_errors / s.delta) * Math.max(n, 1));
      for (let i = 0; i < n; i++) {
        const kind = i < failed && s.delta_errors > 0 ? "failed" : arrow.startsWith("replication") || arrow.startsWith("events") ? "sync" : "";
        fly([arrow], kind, (i / n) * 480);
      }
    }
  });
  return () => { stop(); resized.disconnect(); layer.replaceChildren(); };
}

// inOrder keeps the arrows that follow one another.
function inOrder(arrows: string[]): string[] {
  const order = ["primary>apigateway", "failover>apim", "apigateway>lambda", "apim>functions", "lambda>dynamodb", "functions>cosmos", "lambda>s3", "functions>blob"];
  const known = order.filter((a) => arrows.includes(a));
  const out: string[] = [];
  for (const a of known) {
    const last = out[out.length - 1];
    if (!last || last.split(">")[1] === a.split(">")[0]) out.push(a);
  }
  return out;
}

// corners reads the points of a path of M, L, H and V.
function corners(path: string): { x: number; y: number }[] {
  const out: { x: number; y: number }[] = [];
  let x = 0, y = 0;
  for (const m of path.matchAll(/([MLHV])\s*([-\d.]+)(?:[ ,]+([-\d.]+))?/g)) {
    if (m[1] === "H") x = +m[2];
    else if (m[1] === "V") y = +m[2];
    else { x = +m[2]; y = +(m[3] ?? 0); }
    out.push({ x, y });
  }
  return out;
}
