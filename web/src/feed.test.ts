import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Notice, Row, SearchAnswer, Unread } from "./api";
import { Feed } from "./feed";
import { LIST_ROWS_MAX, LOAD_PAGES_MAX } from "./limits";
import { plain } from "./question";

const row = (id: number): Row => ({ "event.id": `s/1/${id}`, "@timestamp": "2026-11-21T19:30:00Z", sentence: { ja: "あ", en: "a" }, fields: {} });

class TameTail {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  readyState = 0;
  closed = false;
  close() {
    this.closed = true;
  }
  send(...rows: Row[]) {
    for (const one of rows) this.onmessage?.({ data: JSON.stringify(one) });
  }
}

let tails: TameTail[];
let pages: Record<string, Row[]>;
let notices: Notice[] | undefined;
let unread: Unread[] | undefined;
let live: boolean | undefined;
let feed: Feed;
const tail = () => tails.at(-1) as TameTail;
const ids = () => feed.snapshot().rows.map((one) => Number(one["event.id"].slice(4)));

beforeEach(() => {
  vi.useFakeTimers();
  tails = [];
  pages = {};
  notices = undefined;
  unread = undefined;
  live = undefined;
  vi.stubGlobal("fetch", (address: string) => {
    const parameters = new URL(address, "http://yagura.test").searchParams;
    const rows = pages[`${parameters.get("query") ?? ""} ${parameters.get("offset") ?? ""}`];
    const body: unknown = rows === undefined
      ? { error: { code: "query", message: "unexpected ')'", place: 3 } }
      : ({ rows, total_known: false, cut: true, limit: 100, took_ms: 2, ...(notices ? { notices } : {}), ...(unread ? { unread } : {}), ...(live === undefined ? {} : { live }) } satisfies SearchAnswer);
    return Promise.resolve(new Response(JSON.stringify(body), { status: rows === undefined ? 400 : 200 }));
  });
  feed = new Feed(() => {
    const made = new TameTail();
    tails.push(made);
    return made as unknown as EventSource;
  });
});

afterEach(() => {
  feed.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the feed", () => {
  it("joins the past and what arrives, each event once", async () => {
    pages[" 0"] = [row(2), row(1)];
    feed.ask("", "24h");
    tail().send(row(2), row(3));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([3, 2, 1]);
    expect(feed.snapshot()).toMatchObject({ phase: "done", fetched: 2, cut: true });
  });

  it("stands still while paused and holds back at most one list", async () => {
    pages[" 0"] = [];
    feed.ask("", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    feed.pause();
    for (let id = 0; id <= LIST_ROWS_MAX; id += 1) tail().send(row(id));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([]);
    expect(feed.snapshot().waiting).toBe(LIST_ROWS_MAX);
    feed.resume();
    expect(ids()).toHaveLength(LIST_ROWS_MAX);
    expect(ids()[0]).toBe(LIST_ROWS_MAX);
    expect(feed.snapshot().waiting).toBe(0);
  });

  it("loads older rows below and pauses for whoever reads them", async () => {
    pages["x 0"] = [row(9), row(8)];
    pages["x 2"] = [row(8), row(7)];
    feed.ask("x", "all");
    await vi.advanceTimersByTimeAsync(1_000);
    feed.loadMore();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([9, 8, 7]);
    expect(feed.snapshot()).toMatchObject({ paused: true, fetched: 4 });
  });

  it("asks again after an interruption, so that nothing is missed", async () => {
    pages[" 0"] = [row(1)];
    feed.ask("", "24h");
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    tail().onerror?.();
    expect(feed.snapshot().live).toBe("lost");
    pages[" 0"] = [row(3), row(2), row(1)];
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([3, 2, 1]);
    expect(feed.snapshot().live).toBe("open");
  });

  it("begins anew rather than hide a gap, also after a pause", async () => {
    pages[" 0"] = [row(1)];
    feed.ask("", "24h");
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    tail().onerror?.();
    pages[" 0"] = [row(300), row(299)];
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([300, 299]);

    feed.pause();
    tail().onerror?.();
    pages[" 0"] = [row(600), row(599)];
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([300, 299]);
    feed.resume();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([600, 599]);
  });

  it("begins anew when the server left rows out of the live view", async () => {
    pages[" 0"] = [row(1)];
    feed.ask("", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    tail().send(row(9));
    tail().onmessage?.({ data: JSON.stringify({ "yagura.missed": 7, sentence: { ja: "", en: "" } }) });
    pages[" 0"] = [row(9), row(8)];
    await vi.advanceTimersByTimeAsync(5_000);
    expect(ids()).toEqual([9, 8]);
  });

  it("loads on until something new comes, past what was already seen live", async () => {
    pages[" 0"] = [row(1)];
    feed.ask("", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    tail().send(row(2), row(3));
    await vi.advanceTimersByTimeAsync(1_000);
    pages[" 1"] = [row(2)];
    pages[" 2"] = [row(1)];
    pages[" 3"] = [row(0)];
    feed.loadMore();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([3, 2, 1, 0]);
    expect(feed.snapshot().fetched).toBe(4);
  });

  it("gives up loading on after its limit of pages", async () => {
    pages[" 0"] = [row(1)];
    feed.ask("", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    for (let offset = 1; offset <= LOAD_PAGES_MAX; offset += 1) pages[` ${offset}`] = [row(1)];
    pages[` ${LOAD_PAGES_MAX + 1}`] = [row(0)];
    feed.loadMore();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([1]);
    feed.loadMore();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([1, 0]);
  });

  it("gives its connection back while nobody looks and catches up afterwards", async () => {
    pages[" 0"] = [row(1)];
    feed.ask("", "24h");
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    feed.sleep();
    expect(tail().closed).toBe(true);
    pages[" 0"] = [row(2), row(1)];
    feed.wake();
    expect(tails).toHaveLength(2);
    tail().onopen?.();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids()).toEqual([2, 1]);
  });

  it("opens a live view anew that the server refused", async () => {
    pages[" 0"] = [];
    feed.ask("", "24h");
    tail().readyState = 2;
    tail().onerror?.();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(tails).toHaveLength(2);
  });

  it("keeps groups apart from events and does not follow them", async () => {
    pages["* | stats count() 0"] = [{ "user.name": "tanaka", n: 3 } as unknown as Row];
    feed.ask("* | stats count()", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(feed.snapshot()).toMatchObject({ phase: "done", rows: [], groups: [{ "user.name": "tanaka", n: 3 }] });
    expect(tail().closed).toBe(true);
    tail().readyState = 2;
    tail().onerror?.();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(tails).toHaveLength(1);
  });

  it("does not follow what cannot be live, also where the answer has no rows", async () => {
    live = false;
    for (const [query, rows] of [["nothing | stats count() as n by user.name", []], ["* | head 1", [row(1)]]] as const) {
      const before = tails.length;
      pages[`${query} 0`] = [...rows];
      feed.ask(query, "24h");
      await vi.advanceTimersByTimeAsync(1_000);
      expect(feed.snapshot()).toMatchObject({ phase: "done", live: "off", rows });
      tail().readyState = 2;
      tail().onerror?.();
      await vi.advanceTimersByTimeAsync(10_000);
      feed.sleep();
      feed.wake();
      expect(tails).toHaveLength(before + 1);
      expect([tail().closed, feed.snapshot().live]).toEqual([true, "off"]);
    }
  });

  it("says what any page of an answer lacks, and not of the next question", async () => {
    const lacks = (store: string, files: number) => ({ store, files, rows: files * 10, reason: "away", reason_ja: "不在" });
    pages["a 0"] = [row(2)];
    pages["a 1"] = [row(1)];
    unread = [lacks("s3://a", 3)];
    feed.ask("a", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    unread = [lacks("s3://a", 2), lacks("s3://b", 1)];
    feed.loadMore();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(feed.snapshot().unread).toEqual([lacks("s3://a", 3), lacks("s3://b", 1)]);
    unread = undefined;
    pages["b 0"] = [];
    feed.ask("b", "24h");
    expect(feed.snapshot().unread).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(feed.snapshot().unread).toEqual([]);
  });

  it("keeps what the server says about an answer until the next question", async () => {
    notices = [{ ja: "切った", en: "cut", cut: true }];
    pages["a 0"] = [row(1)];
    pages["b 0"] = [row(1)];
    feed.ask("a", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(feed.snapshot().notices).toEqual(notices);
    notices = undefined;
    feed.ask("b", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(feed.snapshot().notices).toEqual([]);
  });

  it("tells a wrong query apart and drops the answer to an earlier question", async () => {
    pages["old 0"] = [row(1)];
    feed.ask("old", "24h");
    feed.ask("a )", "24h");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(tails[0]?.closed).toBe(true);
    expect(ids()).toEqual([]);
    expect(feed.snapshot()).toMatchObject({ phase: "failed", error: { status: 400, body: { place: 3 } } });
  });

  it("opens no live view on times that do not move, and shows what they have", async () => {
    pages["x 0"] = [row(1)];
    feed.ask("x", "all", { ...plain("x", "all"), asOf: "2026-11-21T20:00:00Z" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(tails).toHaveLength(0);
    expect(feed.snapshot()).toMatchObject({ phase: "done", live: "off", range: "all", searchId: undefined });
    feed.sleep();
    feed.wake();
    expect(tails).toHaveLength(0);
  });

  it("ends the search that runs by its id", () => {
    const asked: { address: URL; method: string }[] = [];
    vi.stubGlobal("fetch", (address: string, init: RequestInit) => {
      asked.push({ address: new URL(address, "http://yagura.test"), method: init.method ?? "GET" });
      return new Promise<Response>(() => undefined);
    });
    feed.ask("slow", "24h");
    feed.cancel();
    const id = asked[0]?.address.searchParams.get("search_id") ?? "";
    expect(id).toMatch(/^[0-9a-f]{24}$/);
    expect([asked[1]?.address.pathname, asked[1]?.method]).toEqual([`/api/v1/search/${id}`, "DELETE"]);
  });
});
