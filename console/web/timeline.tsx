// A failover, step by step, and the time that it cost as one measured bar.
import { clock, day, ms, plural, regionName } from "./format";
import { Incident } from "./store";

const titles: Record<string, string> = {
  fault: "Fault", probe: "First failed probe", vote: "Vote", verdict: "Verdict", plan: "Plan committed", dns: "DNS answers the other region",
  serving: "First request served", ttl: "TTL expired", drained: "Old region drained", errors: "Errors back to zero", healed: "Healed",
  healthy: "Healthy again", failback: "Traffic is back", equal: "Both sides equal",
};

export function Bar({ incident }: { incident: Incident }) {
  const p = incident.parts;
  const parts = [
    { key: "detect", label: "detect", value: p.detect_ms }, { key: "decide", label: "decide", value: p.decide_ms },
    { key: "publish", label: "publish", value: p.publish_ms }, { key: "ttl", label: "clients' TTL, at most", value: p.ttl_ms },
  ];
  const known = parts.filter((x) => x.value !== null);
  if (known.length === 0) return null;
  const total = known.reduce((n, x) => n + (x.value ?? 0), 0);
  const serverSide = known.filter((x) => x.key !== "ttl").reduce((n, x) => n + (x.value ?? 0), 0);
  return (
    <figure class="bar" aria-label={known.map((x) => `${x.label} ${ms(x.value)}`).join(", ")}>
      <figcaption><strong>{ms(serverSide)}</strong> from the fault to the DNS answer{p.ttl_ms !== null ? <>, at most <strong>{ms(total)}</strong> for clients that honour the TTL</> : null}</figcaption>
      <div class="track">
        {known.map((x) => <span key={x.key} class={"part " + x.key} style={{ flexGrow: Math.max((x.value ?? 0) / (total || 1), 0.015) }} />)}
      </div>
      <ul class="legend">
        {known.map((x) => <li key={x.key}><i class={"part " + x.key} />{x.label} <b>{ms(x.value)}</b></li>)}
      </ul>
    </figure>
  );
}

export function Steps({ incident }: { incident: Incident }) {
  const zero = new Date(incident.steps[0]?.at ?? incident.began).getTime();
  return (
    <ol class="steps">
      {incident.steps.map((s) => (
        <li key={s.kind + s.at + s.who} class={"step at-" + s.kind} data-step={s.kind}>
          <time dateTime={s.at} title={s.at}>+{ms(Math.max(0, new Date(s.at).getTime() - zero))}</time>
          <div title={s.text}><b>{titles[s.kind] ?? s.kind}{s.who ? ` · ${s.who}` : ""}</b><span class="clamp">{s.text}</span></div>
        </li>
      ))}
      {(incident.waiting ?? []).map((w) => <li key={w} class="step at-waiting" title={w}><time>now</time><div><b>Waiting</b><span class="clamp">{w}</span></div></li>)}
    </ol>
  );
}

export function summary(i: Incident): string {
  if (i.planned) return `Traffic left ${regionName(i.region)} as an operator ordered`;
  const moved = i.steps.some((s) => s.kind === "plan");
  return moved ? `${regionName(i.region)} failed, traffic moved` : `Trouble at ${regionName(i.region)}`;
}

export function IncidentCard({ incident, open }: { incident: Incident; open: boolean }) {
  return (
    <details class="incident" open={open} data-incident={incident.id}>
      <summary>
        <span class={"chip " + (incident.ended ? "idle" : "warn")}>{incident.ended ? "over" : "now"}</span>
        <b>{summary(incident)}</b>
        <span class="muted">{day(incident.began)}{incident.ended ? ` to ${clock(incident.ended)}` : ""}</span>
      </summary>
      <p class="cause">{incident.cause}</p>
      <Bar incident={incident} />
      {incident.unreplicated !== null && incident.steps.some((s) => s.kind === "dns")
        ? <p class="muted">When traffic left, {incident.unreplicated === 0 ? "every acknowledged write was on the other side" : `${plural(incident.unreplicated, "acknowledged write")} had not crossed yet`}.</p>
        : incident.steps.some((s) => s.kind === "dns") ? <p class="muted">How many acknowledged writes had not crossed when traffic left is not known.</p> : null}
      <Steps incident={incident} />
    </details>
  );
}
