// Figures as people read them: three digits and a unit, or a dash for what is not known.
export const dash = "–";

export function ms(v: number | null | undefined): string {
  if (v === null || v === undefined) return dash;
  if (v === 0) return "0 ms";
  if (v < 1) return v.toFixed(2) + " ms";
  if (v < 10) return v.toFixed(1) + " ms";
  if (v < 1000) return Math.round(v) + " ms";
  if (v < 10_000) return (v / 1000).toFixed(2) + " s";
  if (v < 100_000) return (v / 1000).toFixed(1) + " s";
  if (v < 3_600_000) return Math.round(v / 60_000) + " min";
  return (v / 3_600_000).toFixed(1) + " h";
}

export function rate(v: number | null | undefined): string {
  if (v === null || v === undefined) return dash;
  if (v === 0) return "0/s";
  if (v < 10) return v.toFixed(1) + "/s";
  return count(v) + "/s";
}

export function count(v: number | null | undefined): string {
  if (v === null || v === undefined) return dash;
  if (v < 10_000) return Math.round(v).toLocaleString("en");
  if (v < 1e6) return (v / 1e3).toFixed(1) + "k";
  return (v / 1e6).toFixed(2) + "M";
}

export function clock(t: string | number | Date | null | undefined, fine = false): string {
  if (!t) return dash;
  const d = new Date(t);
  if (Number.isNaN(d.getTime()) || d.getFullYear() < 2000) return dash;
  const pad = (n: number, w = 2) => String(n).padStart(w, "0");
  const text = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  return fine ? `${text}.${pad(d.getMilliseconds(), 3)}` : text;
}

export function day(t: string): string {
  const d = new Date(t);
  return d.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" }) + " " + clock(t);
}

export function ago(t: string | null | undefined, from: number): string {
  if (!t) return dash;
  const s = (from - new Date(t).getTime()) / 1000;
  if (!Number.isFinite(s) || s > 1e9) return dash;
  if (s < 2) return "just now";
  if (s < 100) return Math.round(s) + " s ago";
  if (s < 6000) return Math.round(s / 60) + " min ago";
  if (s < 150_000) return Math.round(s / 3600) + " h ago";
  return Math.round(s / 86400) + " days ago";
}

export const regionName = (r: string | null | undefined) => (r === "aws" ? "AWS" : r === "azure" ? "Azure" : r || dash);
export const other = (r: string) => (r === "aws" ? "azure" : "aws");
export const plural = (n: number, one: string, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
