import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import type { Alert, AlertDetail, AlertState, Completions, EntityRisk, Exception, Forecast, Gap, LakeStats, NewException, Offer, RetentionAnswer, Row, RuleQuality } from "../src/api";

const DIST = join(import.meta.dirname, "../dist");
const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; " +
  "object-src 'none'; frame-ancestors 'none'; form-action 'self'";

/** The API in memory, in the shapes the real server promises: for the page alone, without a store. */
export class Mock {
  rows: Row[] = [];
  alerts: Alert[] = [];
  /** What is known of an alert beyond the list, by its id. */
  details: Record<string, Partial<AlertDetail>> = {};
  risk: EntityRisk[] = [];
  gaps: Gap[] = [];
  rules: RuleQuality[] = [];
  exceptions: Exception[] = [];
  kept: RetentionAnswer = { delete: false, shortening: false, streams: [], requests: [], holds: [] };
  sizes: LakeStats = { datasets: [], columns: [], total: { "event.dataset": "", events: 0, received: 0, stored: 0, text_index: 0, ratio: null } };
  forecast: Forecast = { free: 1e12, per_day: 0, busiest_day: 0, full_in_days: null, full_on: null, warn: false, streams: [] };
  readonly posts: { path: string; marked: boolean; body: unknown }[] = [];
  verified: { at: string; ok: boolean; findings: number } | null = null;
  /** Searches that do not end, by their ids. */
  readonly held = new Map<string, ServerResponse>();
  private readonly tails = new Set<ServerResponse>();
  private server: Server | undefined;
  private port = 0;

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.server = createServer((request, response) => {
      void this.answer(request, response);
    });
    await new Promise<void>((ready) => this.server?.listen(this.port, "127.0.0.1", ready));
    this.port = (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections();
    this.tails.clear();
    await new Promise((done) => this.server?.close(done));
  }

  /** A new event: into the store and down every live view. */
  send(row: Row): void {
    this.rows.unshift(row);
    for (const tail of this.tails) tail.write(`data: ${JSON.stringify(row)}\n\n`);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.origin);
    const { searchParams: parameters, pathname } = url;
    if (!pathname.startsWith("/api/")) return file(pathname, response);
    const running = /^\/api\/v1\/search\/([^/]+)$/.exec(pathname);
    if (running !== null) {
      this.watched(running[1] ?? "", request, response);
      return;
    }
    if (pathname === "/api/v1/search") {
      this.search(parameters, response);
      return;
    }
    if (pathname === "/api/v1/complete") {
      json(response, 200, completions(parameters.get("query") ?? "", Number(parameters.get("at"))));
      return;
    }
    if (pathname === "/api/v1/tail") {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" }).write(": hello\n\n");
      this.tails.add(response);
      request.on("close", () => this.tails.delete(response));
      return;
    }
    if (pathname === "/api/v1/ledger") {
      const time = this.rows[0]?.["@timestamp"] ?? null;
      const log = { origin: "yagura.test/demo/events", size: this.rows.length, root: "Zm9vYmFy".repeat(5) + "AAA=", checkpoint_time: time, batches_sealed: this.rows.length, records: this.rows.length };
      json(response, 200, { events: log, audit: { ...log, origin: "yagura.test/demo/audit" }, verified: this.verified });
      return;
    }
    if (pathname === "/api/v1/status") {
      json(response, 200, { version: "0.1.0", uptime_s: 5, listeners: [{ kind: "syslog-tcp", address: "127.0.0.1:5514" }], counters: {}, rules: { loaded: 1, refused: 0 }, disk: {} });
      return;
    }
    if (pathname === "/api/v1/alerts") {
      const wanted = parameters.get("state");
      const shown = this.alerts.filter((alert) => wanted === null || alert["alert.state"] === wanted);
      json(response, 200, { alerts: shown, total: shown.length });
      return;
    }
    const one = /^\/api\/v1\/alerts\/([^/]+)$/.exec(pathname);
    const named = this.alerts.find((alert) => alert["alert.id"] === decodeURIComponent(one?.[1] ?? ""));
    if (named !== undefined) {
      const bare = { looks_for: named.sentence, held: [], check: [], falsepositives: [], references: [] };
      json(response, 200, { ...named, explanation: bare, exception_conditions: [], risk: [], ...this.details[named["alert.id"]] });
      return;
    }
    if (pathname === "/api/v1/risk") {
      json(response, 200, { entities: this.risk, total: this.risk.length });
      return;
    }
    if (pathname === "/api/v1/gaps") {
      json(response, 200, { gaps: this.gaps, open: this.gaps.filter((gap) => gap["gap.end"] === undefined).length, total: this.gaps.length });
      return;
    }
    if (pathname === "/api/v1/rules/quality") {
      json(response, 200, { rules: this.rules, total: this.rules.length });
      return;
    }
    const storage: Readonly<Record<string, unknown>> = { "/api/v1/retention": this.kept, "/api/v1/lake/stats": this.sizes, "/api/v1/retention/forecast": this.forecast };
    if (pathname in storage) {
      json(response, 200, storage[pathname]);
      return;
    }
    if (pathname === "/api/v1/acts") {
      json(response, 200, { rows: [], cut: false, total: 0, events_read: 900, events_single: 100, acts_made: 80, events_cut: false });
      return;
    }
    if (pathname.startsWith("/api/v1/exceptions")) return this.except(pathname, request, response);
    const act = /^\/api\/v1\/alerts\/([^/]+)\/(acknowledge|close|reopen)$/.exec(pathname);
    if (act !== null && request.method === "POST") return this.act(decodeURIComponent(act[1] ?? ""), act[2] ?? "", request, response);
    json(response, 404, { error: { code: "not_found", message: "no such thing", message_ja: "見つかりません" } });
  }

  /** How far a search is that never ends by itself, and its end. */
  private watched(id: string, request: IncomingMessage, response: ServerResponse): void {
    const held = this.held.get(id);
    if (held === undefined) {
      json(response, 404, { error: { code: "not-found", message: "no such search", message_ja: "その検索はありません" } });
      return;
    }
    if (request.method === "DELETE") {
      this.held.delete(id);
      json(held, 409, { error: { code: "cancelled", message: "the search was cancelled", message_ja: "検索は取り消されました" } });
    }
    json(response, 200, {
      search_id: id, phase: "running", files: 7, files_done: 2, row_groups: 40, row_groups_done: 11, rows_scanned: 1_441_792, rows_found: 12, elapsed_ms: 3_200,
    });
  }

  private search(parameters: URLSearchParams, response: ServerResponse): void {
    const query = parameters.get("query") ?? "";
    if (query === "endless") {
      this.held.set(parameters.get("search_id") ?? "", response);
      return;
    }
    const open = [...query].indexOf("(");
    if (open !== -1 && !query.includes(")")) {
      const columns = [...query].slice(0, open).reduce((sum, character) => sum + (character > "\u2e80" ? 2 : 1), 0);
      json(response, 400, { error: { code: "query.syntax", message: "this '(' is never closed", message_ja: "この「(」が閉じられていません", place: `${query}\n${" ".repeat(columns)}^` } });
      return;
    }
    if (query.includes("| stats")) {
      json(response, 200, { rows: [{ "user.name": "<b>tanaka</b>", n: 12 }, { "user.name": "佐藤\u202e", n: 7 }], total_known: true, cut: false, limit: 100, took_ms: 3 });
      return;
    }
    const words = query.toLowerCase().split(/\s+/);
    const found = this.rows.filter((row) => words.every((word) => JSON.stringify(row).toLowerCase().includes(word)));
    const limit = Number(parameters.get("limit") ?? "100");
    const offset = Number(parameters.get("offset") ?? "0");
    json(response, 200, { rows: found.slice(offset, offset + limit), total_known: true, cut: found.length > offset + limit, limit, took_ms: 3 });
  }

  private async except(pathname: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "POST") {
      json(response, 200, { exceptions: this.exceptions, total: this.exceptions.length });
      return;
    }
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const body = JSON.parse(text || "{}") as NewException;
    this.posts.push({ path: pathname, marked: request.headers["yagura-request"] === "1", body });
    const removed = this.exceptions.find((one) => pathname === `/api/v1/exceptions/${one["exception.id"]}/remove`);
    if (removed !== undefined) {
      removed["exception.state"] = "removed";
      json(response, 200, removed);
      return;
    }
    const added: Exception = {
      "exception.id": `X-00000${this.exceptions.length + 1}`, "exception.state": "in_force", "exception.reason": body.reason, "exception.suppressed": 0,
      "rule.uuid": body.rules, "user.name": "local", ...(body.entity === undefined ? {} : { "exception.entity": body.entity }),
      ...(body.conditions === undefined ? {} : { "exception.conditions": body.conditions }),
    };
    this.exceptions.unshift(added);
    json(response, 200, added);
  }

  private async act(id: string, act: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const body = JSON.parse(text || "{}") as { verdict?: string };
    const marked = request.headers["yagura-request"] === "1";
    this.posts.push({ path: request.url ?? "", marked, body });
    const alert = this.alerts.find((one) => one["alert.id"] === id);
    if (!marked || alert === undefined) {
      json(response, marked ? 404 : 403, { error: { code: "refused", message: "refused", message_ja: "拒否しました" } });
      return;
    }
    const states: Readonly<Record<string, AlertState>> = { acknowledge: "acknowledged", close: "closed", reopen: "new" };
    alert["alert.state"] = states[act] ?? "new";
    if (body.verdict !== undefined) alert["alert.verdict"] = body.verdict;
    json(response, 200, alert);
  }
}

async function file(pathname: string, response: ServerResponse): Promise<void> {
  const name = pathname === "/" ? "/index.html" : normalize(pathname);
  const headers = { "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Content-Type": TYPES[extname(name)] ?? "application/octet-stream" };
  try {
    response.writeHead(200, headers).end(await readFile(join(DIST, name)));
  } catch {
    response.writeHead(404).end();
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json", "Content-Security-Policy": "default-src 'none'" }).end(JSON.stringify(body));
}

/** What may stand at the cursor: a field, or one of its values as an attacker might have written it. */
function completions(query: string, at: number): Completions {
  const before = [...query].slice(0, at).join("");
  const word = /[^\s|]*$/.exec(before)?.[0] ?? "";
  const of = /^user\.name:(.*)$/.exec(word);
  const typed = of?.[1] ?? word;
  const fields: Offer[] = [
    { kind: "field", text: "user.name", insert: "user.name:", label: { ja: "ユーザー名", en: "User name" }, type: "keyword" },
    { kind: "field", text: "user.id", insert: "user.id:", label: { ja: "ユーザーID", en: "User ID" }, type: "keyword" },
  ];
  const values: Offer[] = [
    { kind: "value", text: "tanaka", insert: "tanaka", count: 1_204 },
    { kind: "value", text: "<b>佐藤</b>\u202e", insert: "<b>佐藤</b>\u202e", count: 7 },
  ];
  const offers = (of === null ? fields : values).filter((offer) => offer.text.startsWith(typed));
  return { start: at - [...typed].length, end: at, typed, offers, partial: of !== null };
}
