// DynamoDB JSON for people.
export type Value = Record<string, any>;
export type Item = Record<string, Value>;

export function text(v: Value | undefined): string {
  if (v === undefined || v === null) return "";
  const [kind, inner] = Object.entries(v)[0] ?? ["", ""];
  switch (kind) {
    case "S": return JSON.stringify(inner);
    case "N": return String(inner);
    case "BOOL": return String(inner);
    case "NULL": return "null";
    case "B": return `binary ${inner}`;
    case "L": return "[" + (inner as Value[]).map(text).join(", ") + "]";
    case "M": return "{" + Object.entries(inner as Item).map(([k, x]) => `${k}: ${text(x)}`).join(", ") + "}";
    case "SS": return "{" + (inner as string[]).map((s) => JSON.stringify(s)).join(", ") + "}";
  }
  return "{" + (inner as any[]).join(", ") + "}";
}

export function keyText(key: Item | null | undefined): string {
  return Object.values(key ?? {}).map((v) => String(Object.values(v)[0])).join("/");
}

/** attributes lists the names of both items, sorted, and whether they differ. */
export function compare(a: Item | null | undefined, b: Item | null | undefined): { name: string; differs: boolean }[] {
  const names = [...new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])].sort();
  return names.map((name) => ({ name, differs: text(a?.[name]) !== text(b?.[name]) }));
}
