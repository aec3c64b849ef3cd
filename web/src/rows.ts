import type { Group, Row } from "./api";
import { LIST_ROWS_MAX } from "./limits";

/** Puts live rows (oldest first, as they arrived) above the list, each event once, at most `max` in all. */
export function prepend(list: readonly Row[], arrived: readonly Row[], max = LIST_ROWS_MAX): Row[] {
  return once([...arrived].reverse().concat(list)).slice(0, max);
}

/** Puts an older page below the list, each event once. */
export function append(list: readonly Row[], page: readonly Row[]): Row[] {
  return once([...list, ...page]);
}

/** Takes a row that came over the wire, or nothing where it is not one. */
export function parseRow(data: string): Row | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return isEvent(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether this is an event. `... | stats` answers with rows that are not: groups, with columns of their own. */
export function isEvent(value: unknown): value is Row {
  if (typeof value !== "object" || value === null) return false;
  const row = value as Partial<Row>;
  const sentence: unknown = row.sentence;
  return typeof row["event.id"] === "string" && typeof row["@timestamp"] === "string"
    && typeof sentence === "object" && sentence !== null && typeof row.fields === "object";
}

/** Whether the server says that it left out rows of the live view. */
export function saysMissed(data: string): boolean {
  return data.includes('"yagura.missed"') && parseRow(data) === undefined;
}

/** The columns of groups, in order. Of a sentence in both languages, only the one that is read. */
export function columnsOf(groups: readonly Group[], lang: "ja" | "en"): string[] {
  const columns = new Set(groups.flatMap((group) => Object.keys(group)));
  if (columns.has(`sentence.${lang}`)) columns.delete(lang === "ja" ? "sentence.en" : "sentence.ja");
  return [...columns];
}

/** A value of a field as text: text as it is, everything else as JSON. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  return JSON.stringify(value);
}

/** A search for exactly this value of this field. */
export function exactly(field: string, value: unknown): string {
  const bare = typeof value === "number" || typeof value === "boolean";
  return `${field}:${bare ? String(value) : `"${valueText(value).replace(/[\\"]/g, "\\$&")}"`}`;
}

function once(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [row["event.id"], row])).values()];
}
