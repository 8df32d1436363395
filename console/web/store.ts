// The page's one store: the live frame, the session, and requests to the console.
import { useEffect, useState } from "preact/hooks";

export type Stats = {
  total: number; errors: number; delta: number; delta_errors: number; rate: number; error_rate: number;
  p50_ms: number | null; p99_ms: number | null; last?: { at: string; text: string };
};
export type Step = { kind: string; at: string; who?: string; text: string };
export type Incident = {
  id: number; region: string; began: string; ended: string | null; cause: string; planned?: boolean; steps: Step[];
  waiting: string[] | null; unreplicated: number | null;
  parts: { detect_ms: number | null; decide_ms: number | null; publish_ms: number | null; ttl_ms: number | null };
};
export type Span = { trace: string; id: string; parent?: string; arrow: string; process: string; start: string; ms: number; error?: string };
export type Trace = { id: string; start: string; spans: Span[] };
export type Frame = { id: number; at: string; live: any; stats: Record<string, Stats>; traces?: Trace[]; faults: any; incident: Incident | null; drill: any };
export type Session = { csrf: string; node: string; faults: boolean; who: string; until: string };

type State = { frame: Frame | null; connected: boolean; session: Session | null; heard: number };
let state: State = { frame: null, connected: false, session: null, heard: 0 };
const watchers = new Set<() => void>();
const frameWatchers = new Set<(f: Frame) => void>();

function set(next: Partial<State>) {
  state = { ...state, ...next };
  watchers.forEach((w) => w());
}

export function useStore(): State {
  const [, redraw] = useState(0);
  useEffect(() => {
    const w = () => redraw((n) => n + 1);
    watchers.add(w);
    return () => { watchers.delete(w); };
  }, []);
  return state;
}

export const now = () => state;
export function onFrame(f: (frame: Frame) => void): () => void {
  frameWatchers.add(f);
  return () => { frameWatchers.delete(f); };
}

export async function request(method: string, path: string, body?: unknown): Promise<any> {
  const headers: Record<string, string> = {};
  if (method !== "GET") {
    headers["X-Csrf-Token"] = state.session?.csrf ?? "";
    headers["Content-Type"] = "application/json";
  }
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.status === 401) {
    location.reload(); // the session has ended: the server shows the way in
    throw new Error("the session has ended");
  }
  const reply = await response.json().catch(() => ({ error: response.statusText }));
  if (!response.ok) throw new Error(reply.error ?? response.statusText);
  return reply;
}

export const get = (path: string) => request("GET", path);
export const post = (path: string, body: unknown = {}) => request("POST", path, body);

/** start opens the session and the stream; the browser itself reconnects and says what it saw last. */
export async function start() {
  set({ session: await get("/v1/session") });
  const stream = new EventSource("/v1/events");
  stream.onopen = () => set({ connected: true });
  stream.onerror = () => {
    set({ connected: false });
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
  };
  stream.onmessage = (e) => {
    const frame: Frame = JSON.parse(e.data);
    frameWatchers.forEach((w) => w(frame));
    set({ frame, connected: true, heard: Date.now() });
  };
}

/** usePoll fetches a path now, every so often, and whenever `again` changes. */
export function usePoll<T>(path: string, everyMS: number, again: unknown = 0): { data: T | null; error: string; reload: () => void } {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState("");
  const [n, setN] = useState(0);
  useEffect(() => {
    let live = true;
    const load = () => {
      if (document.hidden || !path) return;
      get(path).then((d) => { if (live) { setData(d); setError(""); } }, (e) => { if (live) setError(e.message); });
    };
    load();
    const timer = everyMS > 0 ? setInterval(load, everyMS) : 0;
    return () => { live = false; clearInterval(timer); };
  }, [path, everyMS, again, n]);
  return { data, error, reload: () => setN((v) => v + 1) };
}
