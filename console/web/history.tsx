// History: an hour by the second, a day by ten seconds, thirty days by five minutes.
import { useState } from "preact/hooks";
import { DrillHistory } from "./drills";
import { ms } from "./format";
import { historyOf, Plot } from "./plot";
import { usePoll } from "./store";

const ranges = [{ id: "1h", name: "Hour" }, { id: "24h", name: "Day" }, { id: "30d", name: "30 days" }];

export function History() {
  const [range, setRange] = useState("1h");
  const plots = [
    { title: "Users' requests, a second", series: [{ name: "primary>apigateway rate", label: "AWS", color: "--aws" }, { name: "failover>apim rate", label: "Azure", color: "--azure" }] },
    { title: "Failed requests, a second", series: [{ name: "primary>apigateway errors", label: "AWS", color: "--aws" }, { name: "failover>apim errors", label: "Azure", color: "--azure" }] },
    { title: "Gateway latency, p99", unit: (v: number) => ms(v), series: [{ name: "primary>apigateway p99", label: "AWS", color: "--aws" }, { name: "failover>apim p99", label: "Azure", color: "--azure" }] },
    { title: "Replication lag", unit: (v: number) => ms(v), series: [{ name: "aws lag", label: "from AWS", color: "--aws" }, { name: "azure lag", label: "from Azure", color: "--azure" }] },
    { title: "Replication backlog, keys", series: [{ name: "aws backlog", label: "from AWS", color: "--aws" }, { name: "azure backlog", label: "from Azure", color: "--azure" }] },
    { title: "DNS queries, a second", series: [{ name: "request>routing rate", label: "queries", color: "--accent" }] },
    { title: "Region healthy (1) or not (0)", series: [{ name: "aws healthy", label: "AWS", color: "--aws" }, { name: "azure healthy", label: "Azure", color: "--azure" }] },
    { title: "Differences, quarantined keys", series: [{ name: "differences", label: "differences", color: "--bad" }, { name: "quarantined", label: "quarantined", color: "--warn" }] },
  ];
  const { data, error } = usePoll<any>(historyOf(range, plots.flatMap((p) => p.series.map((s) => s.name))), range === "1h" ? 5000 : 30_000);
  return (
    <section class="stack">
      <div class="row"><h2>History</h2><span class="spacer" />
        <div class="tabs" role="tablist" aria-label="Span">{ranges.map((r) => <button key={r.id} role="tab" aria-selected={range === r.id} onClick={() => setRange(r.id)}>{r.name}</button>)}</div>
      </div>
      {error ? <p class="error" role="alert">{error}</p> : null}
      <div class="columns plots">{plots.map((p) => <div class="panel" key={p.title + range}><Plot range={range} {...p} given={data} /></div>)}</div>
      <DrillHistory />
    </section>
  );
}
