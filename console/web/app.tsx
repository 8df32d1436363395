// The page's frame: header, navigation and the view that the address names.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Conflicts } from "./conflicts";
import { Data } from "./data";
import { Dialogs } from "./dialog";
import { DrillStrip } from "./drills";
import { clock, regionName } from "./format";
import { History } from "./history";
import { Live } from "./live";
import { Operate } from "./operate";
import { now, post, start, useStore, usePoll, Incident } from "./store";
import { IncidentCard } from "./timeline";

const views = [
  { id: "live", name: "Live", view: Live }, { id: "failovers", name: "Failovers", view: Failovers }, { id: "data", name: "Data", view: Data },
  { id: "conflicts", name: "Conflicts", view: Conflicts }, { id: "operate", name: "Operate", view: Operate }, { id: "history", name: "History", view: History },
];

function Failovers() {
  const { frame } = useStore();
  const { data, error } = usePoll<{ incidents: Incident[] }>("/v1/incidents", 3000, frame?.incident?.steps.length ?? 0);
  const list = data?.incidents ?? [];
  const open = frame?.incident;
  return (
    <section class="stack">
      <h2>Failovers</h2>
      <p class="muted">Each one from the fault to the moment when both sides were equal again, as it was measured.</p>
      {error ? <p class="error" role="alert">{error}</p> : null}
      {open ? <IncidentCard incident={open} open /> : null}
      {list.filter((i) => i.id !== open?.id).map((i, n) => <IncidentCard key={i.id} incident={i} open={n === 0 && !open} />)}
      {list.length === 0 && !open ? <p class="empty">Nothing has failed yet. Kill a cloud under Operate to see one.</p> : null}
    </section>
  );
}

function Header({ view }: { view: string }) {
  const { frame, connected } = useStore();
  const [theme, setTheme] = useState(() => localStorage.getItem("theme") ?? "");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  const live = frame?.live;
  return (
    <header>
      <div class="top">
        <a class="brand" href="#live">proa</a>
        {live ? <span class="zone">{live.zone}</span> : null}
        <span class="spacer" />
        {live ? <span class="chip route" data-active={live.plan.active}>Traffic → <b>{regionName(live.plan.active)}</b></span> : null}
        {live ? <Equal live={live} /> : null}
        <span class={"chip " + (connected ? "good" : "bad")} role="status">{connected ? "live" : "reconnecting"}</span>
        <button class="quiet" onClick={() => setTheme(theme === "dark" ? "light" : theme === "light" ? "" : "dark")} aria-label={`Theme: ${theme || "as the system"}. Change it`}>{theme === "dark" ? "Dark" : theme === "light" ? "Light" : "Auto"}</button>
        <button class="quiet" onClick={() => post("/logout").finally(() => location.assign("/"))}>Log out</button>
      </div>
      <nav aria-label="Views">
        {views.map((v) => <a key={v.id} href={"#" + v.id} aria-current={v.id === view ? "page" : undefined}>{v.name}</a>)}
      </nav>
    </header>
  );
}

/** Equal says whether both sides hold the same, and through when. */
export function Equal({ live }: { live: any }) {
  const v = live.verified;
  if (!v) return <span class="chip unknown" title="No comparison yet">equality unknown</span>;
  const at = new Date(now().frame?.at ?? 0).getTime();
  const age = at - new Date(v.through).getTime();
  if (v.differences > 0) return <span class="chip warn">{v.differences} differences</span>;
  if (age > 15_000 || (live.directions ?? []).some((d: any) => !d.known)) return <span class="chip unknown">equal through {clock(v.through)}{v.in_flight > 0 ? `, ${v.in_flight} in flight` : ""}</span>;
  return <span class="chip good">{v.in_flight > 0 ? `equal, ${v.in_flight} in flight` : "both sides equal"}</span>;
}

function App() {
  const [view, setView] = useState(() => location.hash.slice(1).split("/")[0] || "live");
  const { frame, session } = useStore();
  useEffect(() => {
    const f = () => { setView(location.hash.slice(1).split("/")[0] || "live"); window.scrollTo(0, 0); };
    addEventListener("hashchange", f);
    return () => removeEventListener("hashchange", f);
  }, []);
  const chosen = views.find((v) => v.id === view) ?? views[0];
  useEffect(() => { document.title = `${chosen.name} · proa console`; }, [chosen.id]);
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the content</a>
      <Header view={chosen.id} />
      <DrillStrip />
      <main id="main" tabindex={-1}>{frame && session ? <chosen.view /> : <p class="empty" role="status">Waiting for the node …</p>}</main>
      <Announcer />
      <Dialogs />
    </>
  );
}

/** Announcer tells screen readers what changed: where traffic goes, and each new step of a failover. */
function Announcer() {
  const { frame } = useStore();
  const [said, setSaid] = useState("");
  const plan = frame?.live.plan;
  const step = frame?.incident?.steps.at(-1);
  useEffect(() => { if (plan) setSaid(`Traffic goes to ${regionName(plan.active)}.`); }, [plan?.version]);
  useEffect(() => { if (step) setSaid(step.text); }, [frame?.incident?.steps.length]);
  return <div class="sr" role="status" aria-live="polite">{said}</div>;
}

render(<App />, document.getElementById("app")!);
start().catch((e) => { document.getElementById("app")!.textContent = "The console cannot start: " + e.message; });
