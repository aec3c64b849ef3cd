import { RANGES, type Range } from "./api";

export type Sort = "newest" | "oldest";

/** Everything that a search asks: what the address of the page says, and what a saved search keeps. */
export interface Question {
  query: string;
  /** The last so many minutes, hours or days. */
  last?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  /** As it was at this instant: what was received since is left out. */
  asOf?: string | undefined;
  /** Zone of times without one, and of those that are shown; the reader's own by default. */
  zone?: string | undefined;
  /** Columns beside the sentence. */
  columns: readonly string[];
  sort: Sort;
}

/** Columns that a page shows at most. */
export const COLUMNS_MAX = 50;

export function plain(query: string, range: Range): Question {
  return { query, ...(range === "all" ? {} : { last: range }), columns: [], sort: "newest" };
}

/** The choice of the list that says the same; `undefined` for other times. */
export function rangeOf(question: Question): Range | undefined {
  if (isFixed(question)) return undefined;
  return question.last === undefined ? "all" : RANGES.find((one) => one === question.last);
}

/** Whether its times do not move on with the clock: nothing new can arrive. */
export function isFixed({ from, to, asOf }: Question): boolean {
  return from !== undefined || to !== undefined || asOf !== undefined;
}

/** Whether what arrives belongs above what is there. */
export function isLive(question: Question): boolean {
  return question.to === undefined && question.asOf === undefined && question.sort === "newest";
}

/** Names and values as the API takes them. */
export function parametersOf(question: Question): URLSearchParams {
  const { query, last, from, to, asOf, zone, columns, sort } = question;
  const parameters = new URLSearchParams({ query });
  for (const [name, value] of [["last", last], ["from", from], ["to", to], ["as_of", asOf], ["time_zone", zone]] as const) {
    if (value !== undefined) parameters.set(name, value);
  }
  if (sort === "oldest") parameters.set("sort", sort);
  if (columns.length > 0) parameters.set("columns", columns.join(","));
  return parameters;
}

/** The address of the page; all time is said, since none said means a day. */
export function addressOf(question: Question): string {
  const parameters = parametersOf(question);
  if (question.query === "") parameters.delete("query");
  if (!isFixed(question) && question.last === undefined) parameters.set("last", "all");
  return `/?${parameters.toString()}`;
}

/** What the address of the page asks. */
export function questionOf(locationSearch: string): Question {
  const parameters = new URLSearchParams(locationSearch);
  const text = (name: string) => {
    const value = parameters.get(name)?.trim();
    return value === undefined || value === "" ? undefined : value;
  };
  const [from, to, asOf] = [text("from"), text("to"), text("as_of")];
  const last = text("last");
  const unsaid = from === undefined && to === undefined && asOf === undefined && last === undefined;
  return {
    query: parameters.get("query") ?? "",
    last: unsaid ? "24h" : last === "all" ? undefined : last,
    from,
    to,
    asOf,
    zone: soundZone(text("time_zone")),
    columns: columnsOf(text("columns") ?? ""),
    sort: text("sort") === "oldest" ? "oldest" : "newest",
  };
}

/** Names of columns as a person writes them: separated by commas or blanks. */
export function columnsOf(text: string): string[] {
  const names = text.split(/[\s,、，]+/).filter((name) => name !== "");
  return [...new Set(names)].slice(0, COLUMNS_MAX);
}

/** A zone that this browser knows. An address is anybody's text. */
export function soundZone(zone: string | undefined): string | undefined {
  if (zone === undefined) return undefined;
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return undefined;
  }
}

/** The reader's own zone, by its name. */
export function ownZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
