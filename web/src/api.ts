import { ACT_EVENTS_SHOWN_MAX, ALERTS_MAX, OFFERS_MAX, PAGE_ROWS, REQUEST_TIMEOUT_MS, SEARCH_TIMEOUT_MS } from "./limits";
import { parametersOf, type Question } from "./question";

/** A sentence in both languages. */
export interface Sentence {
  ja: string;
  en: string;
}

export type Level = "informational" | "low" | "medium" | "high" | "critical";

/** The alerts that name an event, as far as the server tells; unknown members are left alone. */
export interface RowAlert {
  "rule.level"?: Level;
  "rule.name"?: string;
  "rule.name_ja"?: string;
}

/** One event. */
export interface Row {
  "event.id": string;
  "@timestamp": string;
  "event.ingested"?: string;
  "event.dataset"?: string;
  "host.name"?: string | null;
  "event.original"?: string;
  sentence: Sentence;
  fields: Record<string, unknown>;
  alerts?: RowAlert[];
}

/** A row that is no event: a group of `... | stats`, an act of `... | act`. */
export type Group = Record<string, unknown>;

/** What there is to know about an answer beside its rows. */
export interface Notice {
  ja: string;
  en: string;
  /** A limit left something out. */
  cut: boolean;
}

export interface SearchAnswer {
  rows: (Row | Group)[];
  total_known: boolean;
  cut: boolean;
  limit: number;
  took_ms: number;
  notices?: Notice[];
  /** What could not be read: the rows are what the rest has. */
  unread?: Unread[];
  /** Whether events that arrive can be watched with this expression. */
  live?: boolean;
}

/** Files of a cold store that does not give them. */
export interface Unread {
  store: string;
  files: number;
  rows: number;
  reason: string;
  reason_ja: string;
}

/** Several events that are one human act. */
export interface Act {
  "act.id": string;
  "act.kind": string;
  "@timestamp": string;
  "event.end": string;
  "act.events": number;
  "act.event_ids"?: string[];
  "host.name"?: string | null;
  sentence: Sentence;
  fields: Record<string, unknown>;
}

export interface ActsAnswer {
  rows: Act[];
  cut: boolean;
  total: number;
  events_read: number;
  events_single: number;
  acts_made: number;
  events_cut: boolean;
  /** What could not be read: the acts are those of the rest. */
  unread?: Unread[];
}

export type AlertState = "new" | "acknowledged" | "closed";
export type Verdict = "true_positive" | "benign" | "false_positive" | "duplicate";

export interface Alert {
  "alert.id": string;
  "alert.state": AlertState;
  "alert.verdict"?: string;
  "rule.uuid": string;
  "rule.name": string;
  "rule.name_ja"?: string | null;
  "rule.level": Level;
  entity: { kind: string; value: string };
  first_seen: string;
  last_seen: string;
  count: number;
  "event.ids": string[];
  sentence: Sentence;
  phase?: string | null;
  precedent?: Precedent;
}

export interface Entity {
  kind: string;
  value: string;
}

/** What people decided before about the same rule and entity. */
export interface Precedent {
  verdicts: Record<Verdict, number>;
  last?: { "@timestamp": string; "user.name": string; "alert.verdict": Verdict; "alert.note"?: string };
}

/** An alert with all that helps to judge it. */
export interface AlertDetail extends Alert {
  explanation: {
    looks_for: Sentence;
    held: { field: string; label: Sentence; value: string; predicate: string; because: Sentence }[];
    check: Sentence[];
    falsepositives: Sentence[];
    references: string[];
  };
  exception_conditions: { field: string; value: string }[];
  risk: EntityRisk[];
  "alert.hours"?: Record<string, number>;
  "alert.history"?: { "@timestamp": string; "user.name": string; "alert.act": string; "alert.verdict"?: Verdict; "alert.note"?: string }[];
}

export interface EntityRisk {
  "risk.entity": Entity;
  "risk.score": number;
  "risk.phases": { phase: string | null; score: number; alerts: string[] }[];
  "risk.alerts": number;
  "risk.last_seen": string;
  "risk.chain"?: string;
}

export interface Gap {
  "gap.id": string;
  "gap.kind": string;
  "gap.subject": string;
  "gap.begin": string;
  "gap.end"?: string;
  "gap.sentence_ja": string;
  "gap.sentence_en": string;
}

export interface Exception {
  "exception.id": string;
  "exception.state": string;
  "exception.reason": string;
  "exception.suppressed": number;
  "exception.expires"?: string;
  "exception.entity"?: Entity;
  "exception.conditions"?: Record<string, unknown>;
  "rule.uuid"?: string[];
  "rule.tags"?: string[];
  "user.name": string;
}

export interface RuleQuality {
  "rule.uuid": string;
  "rule.name": string;
  "rule.name_ja"?: string | null;
  "rule.level": Level;
  "rule.alerts": number;
  "rule.alerts_7d": number;
  "rule.suppressed": number;
  "rule.judged": number;
  "rule.precision": number | null;
  "rule.precision_low": number | null;
  "rule.precision_high": number | null;
  "rule.noise"?: { sentence_ja: string; sentence_en: string };
}

/** What is kept of one stream, by which policy, and when the oldest goes. */
export interface RetentionStream {
  "yagura.stream": string;
  events: number;
  batches: number;
  stored: number;
  kept_since: string | null;
  policy: { "authority.name": Sentence | null; "kind.name": Sentence | null; reason: string } | null;
  minimum_days: number | null;
  maximum_days: number | null;
  immediate_days: number | null;
  shortening: boolean;
  deletion: "never" | "off" | "due" | "later";
  deletes_next: string | null;
  holds: string[];
}

export interface Hold {
  "@timestamp": string;
  "hold.id": string;
  "hold.name": string;
  reason: string;
  case: string;
  streams: string[];
  hosts: string[];
  "user.name": string;
}

export interface RetentionAnswer {
  delete: boolean;
  shortening: boolean;
  streams: RetentionStream[];
  requests: { "request.id": string }[];
  holds: Hold[];
}

export interface Forecast {
  free: number | null;
  per_day: number;
  busiest_day: number;
  full_in_days: number | null;
  full_on: string | null;
  warn: boolean;
  streams: { "yagura.stream": string; minimum_days: number | null; full_before_minimum: boolean }[];
}

export interface DatasetSize {
  "event.dataset": string;
  events: number;
  received: number;
  stored: number;
  text_index: number;
  ratio: number | null;
  "files.cold"?: number;
  "stored.cold"?: number;
}

export interface LakeStats {
  datasets: DatasetSize[];
  columns: { "event.dataset": string; column: string; stored: number; encoded: number; share: number | null }[];
  total: DatasetSize;
}

/** What is to be excepted from a rule. */
export interface NewException {
  rules: string[];
  alert: string;
  reason: string;
  entity?: Entity;
  conditions?: Record<string, string[]>;
  days?: number;
  until_removed?: boolean;
}

export interface AlertsAnswer {
  alerts: Alert[];
  total: number;
}

export interface LogState {
  origin: string;
  size: number;
  root: string;
  checkpoint_time: string | null;
  batches_sealed?: number;
  records?: number;
}

export interface LedgerAnswer {
  events: LogState;
  audit: LogState;
  verified: { at: string; ok: boolean; findings: number } | null;
}

export interface StatusAnswer {
  version: string;
  uptime_s: number;
  listeners: { kind: string; address: string }[];
}

/** What the server says about a refused request. `place` is an offset in characters, or lines that show it. */
export interface ErrorBody {
  code: string;
  message: string;
  message_ja?: string;
  place?: unknown;
}

/** A request that got no answer (`gone`) or was refused (`body`). */
export class ApiError extends Error {
  readonly status: number;
  readonly body: ErrorBody | undefined;

  constructor(status: number, body: ErrorBody | undefined, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.body = body;
  }

  /** No server answered, or what stands in front of it says so. */
  get gone(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }
}

export const RANGES = ["15m", "1h", "24h", "7d", "all"] as const;
export type Range = (typeof RANGES)[number];

export function search(question: Question, offset: number, id: string, signal: AbortSignal): Promise<SearchAnswer> {
  const parameters = parametersOf(question);
  parameters.set("limit", String(PAGE_ROWS));
  parameters.set("offset", String(offset));
  parameters.set("search_id", id);
  return request<SearchAnswer>(`/api/v1/search?${parameters.toString()}`, { signal }, SEARCH_TIMEOUT_MS);
}

/** What a field holds. */
export type FieldType = "keyword" | "ip" | "text" | "long" | "date" | "binary" | "number";

/** Something that may stand at the cursor of a search. */
export interface Offer {
  kind: "command" | "field" | "function" | "word" | "value";
  text: string;
  /** What is written in its place, with quotes where they are needed. */
  insert: string;
  label?: Sentence;
  type?: FieldType;
  count?: number;
}

/** What may stand in the place of the characters from `start` to `end`. */
export interface Completions {
  start: number;
  end: number;
  typed: string;
  offers: Offer[];
  values_of?: string;
  partial: boolean;
}

/** What may stand before the character `at` of a search that is being written. */
export function complete(query: string, at: number, signal: AbortSignal): Promise<Completions> {
  const parameters = new URLSearchParams({ query, at: String(at), limit: String(OFFERS_MAX) });
  return request(`/api/v1/complete?${parameters.toString()}`, { signal });
}

/** An id for a search, by which it can be watched and ended. */
export function newSearchId(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** How far a search is. */
export interface SearchProgress {
  phase: string;
  files: number;
  files_done: number;
  row_groups: number;
  row_groups_done: number;
  rows_scanned: number;
  rows_found: number;
  elapsed_ms: number;
}

export function searchProgress(id: string, signal: AbortSignal): Promise<SearchProgress> {
  return request<SearchProgress>(`/api/v1/search/${id}`, { signal });
}

export function cancelSearch(id: string): Promise<unknown> {
  return request(`/api/v1/search/${id}`, { method: "DELETE", headers: { "Yagura-Request": "1" } });
}

/** Names and values of the address that gives the rows of this moment whenever it is opened. */
export function permalink(question: Question): Promise<{ parameters: Record<string, string> }> {
  return request(`/api/v1/permalink?${parametersOf(question).toString()}`, {});
}

/** When a saved search runs by itself. */
export interface Schedule {
  every_minutes?: number;
  daily?: string;
  cron?: string;
  time_zone?: string;
  rows_over: number;
  level: Level;
}

export interface SavedRun {
  "@timestamp": string;
  "search.outcome": string;
  "search.rows": number;
  "search.duration_ms": number;
  "search.alerts": number;
  "search.missed"?: number;
  /** What could not be read: its events were not looked at. */
  "search.unread"?: Unread[];
  "error.message"?: string;
  "error.message_ja"?: string;
}

/** A search under a name, as it is saved. */
export interface SavedSearch {
  name: string;
  query: string;
  description?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  last?: string | undefined;
  time_zone?: string | undefined;
  columns?: readonly string[] | undefined;
  sort?: "newest" | "oldest" | undefined;
  schedule?: Schedule | undefined;
}

/** A saved search as it is listed. */
export interface SavedListed extends SavedSearch {
  owner: string;
  changed?: string | null;
  next_run?: string | null;
  last_run?: SavedRun | null;
}

export function savedSearches(signal: AbortSignal): Promise<{ searches: SavedListed[]; total: number }> {
  return request("/api/v1/saved", { signal });
}

export function savedSearch(name: string, signal: AbortSignal): Promise<SavedListed & { runs: SavedRun[] }> {
  return request(`/api/v1/saved/${encodeURIComponent(name)}`, { signal });
}

export function saveSearch(search: SavedSearch, replace: boolean): Promise<SavedListed> {
  return send("/api/v1/saved", { search, replace });
}

export function removeSaved(name: string): Promise<unknown> {
  return send(`/api/v1/saved/${encodeURIComponent(name)}/remove`, {});
}

export function restoreSaved(name: string): Promise<unknown> {
  return send(`/api/v1/saved/${encodeURIComponent(name)}/restore`, {});
}

export function acts(question: Question, signal: AbortSignal): Promise<ActsAnswer> {
  const { query, last, from, to, zone } = question;
  const parameters = new URLSearchParams({ query, limit: String(PAGE_ROWS) });
  for (const [name, value] of [["last", last], ["from", from], ["to", to], ["time_zone", zone]] as const) {
    if (value !== undefined) parameters.set(name, value);
  }
  return request<ActsAnswer>(`/api/v1/acts?${parameters.toString()}`, { signal });
}

/** A search for the events of an act, the first of them where there are many. */
export async function actEvents(act: Act): Promise<string> {
  const query = `act.id:"${act["act.id"]}"`;
  // An act ends where it ended: within that time it is made again from the same events.
  const to = new Date(Date.parse(act["event.end"]) + 1_000).toISOString();
  const parameters = new URLSearchParams({ query, limit: "1", events: "true", kind: act["act.kind"], from: act["@timestamp"], to });
  const answer = await request<ActsAnswer>(`/api/v1/acts?${parameters.toString()}`, {});
  const ids = answer.rows[0]?.["act.event_ids"] ?? [String(act.fields["act.first"])];
  return `event.id:(${ids.slice(0, ACT_EVENTS_SHOWN_MAX).join(" or ")})`;
}

export function tailAddress(query: string, zone?: string): string {
  return `/api/v1/tail?${new URLSearchParams({ query, ...(zone === undefined ? {} : { time_zone: zone }) }).toString()}`;
}

export function proofAddress(eventId: string): string {
  return `/api/v1/events/${eventId.split("/").map(encodeURIComponent).join("/")}/proof`;
}

export function alerts(state: AlertState | "all", signal: AbortSignal): Promise<AlertsAnswer> {
  const parameters = new URLSearchParams({ limit: String(ALERTS_MAX) });
  if (state !== "all") parameters.set("state", state);
  return request<AlertsAnswer>(`/api/v1/alerts?${parameters.toString()}`, { signal });
}

export function acknowledge(alertId: string): Promise<unknown> {
  return post(alertId, "acknowledge", {});
}

export function closeAlert(alertId: string, verdict: Verdict): Promise<unknown> {
  return post(alertId, "close", { verdict });
}

export function reopen(alertId: string): Promise<unknown> {
  return post(alertId, "reopen", {});
}

export function comment(alertId: string, note: string): Promise<unknown> {
  return post(alertId, "comment", { note });
}

export function alertDetail(alertId: string, signal: AbortSignal): Promise<AlertDetail> {
  return request<AlertDetail>(`/api/v1/alerts/${encodeURIComponent(alertId)}`, { signal });
}

export function risk(signal: AbortSignal): Promise<{ entities: EntityRisk[]; total: number }> {
  return request(`/api/v1/risk?limit=${ALERTS_MAX}`, { signal });
}

export function gaps(signal: AbortSignal): Promise<{ gaps: Gap[]; open: number; total: number }> {
  return request(`/api/v1/gaps?limit=${ALERTS_MAX}`, { signal });
}

export function exceptions(signal: AbortSignal): Promise<{ exceptions: Exception[]; total: number }> {
  return request("/api/v1/exceptions", { signal });
}

export function ruleQuality(signal: AbortSignal): Promise<{ rules: RuleQuality[]; total: number }> {
  return request("/api/v1/rules/quality", { signal });
}

export function addException(exception: NewException): Promise<Exception> {
  return send<Exception>("/api/v1/exceptions", exception);
}

export function removeException(id: string): Promise<unknown> {
  return send(`/api/v1/exceptions/${encodeURIComponent(id)}/remove`, {});
}

export function retention(signal: AbortSignal): Promise<RetentionAnswer> {
  return request("/api/v1/retention", { signal });
}

export function retentionForecast(signal: AbortSignal): Promise<Forecast> {
  return request("/api/v1/retention/forecast", { signal });
}

export function lakeStats(signal: AbortSignal): Promise<LakeStats> {
  return request("/api/v1/lake/stats", { signal });
}

/** How many events of the last day are read as how many acts. */
export function actShare(signal: AbortSignal): Promise<ActsAnswer> {
  return request<ActsAnswer>("/api/v1/acts?query=&last=24h&limit=1", { signal });
}

export function ledger(signal: AbortSignal): Promise<LedgerAnswer> {
  return request<LedgerAnswer>("/api/v1/ledger", { signal });
}

export function status(signal: AbortSignal): Promise<StatusAnswer> {
  return request<StatusAnswer>("/api/v1/status", { signal });
}

function post(alertId: string, act: string, body: Record<string, string>): Promise<unknown> {
  return send(`/api/v1/alerts/${encodeURIComponent(alertId)}/${act}`, body);
}

function send<T>(address: string, body: unknown): Promise<T> {
  return request<T>(address, {
    method: "POST",
    // A page of another origin cannot set this header without being asked about it first (CSRF).
    headers: { "Yagura-Request": "1", "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function request<T>(address: string, init: RequestInit, timeoutMs = REQUEST_TIMEOUT_MS): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  let response: Response;
  let text: string;
  try {
    response = await fetch(address, { ...init, signal, cache: "no-store", credentials: "same-origin" });
    text = await response.text();
  } catch (failure) {
    if (init.signal?.aborted === true) throw failure;
    throw new ApiError(0, undefined, "no answer from the server");
  }
  const answer = parseJson(text);
  if (!response.ok) throw new ApiError(response.status, errorBody(answer), `HTTP ${response.status}`);
  // 204 and an empty body are an answer too: the acts on alerts need none.
  return answer as T;
}

function parseJson(text: string): unknown {
  try {
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/** Takes `{"error":{...}}` apart, trusting nothing about its shape. */
export function errorBody(answer: unknown): ErrorBody | undefined {
  if (!isRecord(answer) || !isRecord(answer["error"])) return undefined;
  const { code, message, message_ja, place } = answer["error"];
  if (typeof code !== "string" || typeof message !== "string") return undefined;
  return {
    code,
    message,
    ...(typeof message_ja === "string" ? { message_ja } : {}),
    ...(place === undefined || place === null ? {} : { place }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
