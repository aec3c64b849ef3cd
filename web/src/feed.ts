import {
  ApiError, cancelSearch, newSearchId, search, tailAddress, type Group, type Notice, type Range, type Row, type SearchAnswer, type Unread,
} from "./api";
import { BEHIND_MS, LIST_ROWS_MAX, LOAD_PAGES_MAX, TAIL_DRAW_MS } from "./limits";
import { isLive, plain, rangeOf, type Question } from "./question";
import { append, isEvent, parseRow, prepend, saysMissed } from "./rows";

/** What the page shows of one question: a page of the past, and what arrives since. */
export interface FeedState {
  query: string;
  /** The time as the list of ranges has it; all time where it has not. */
  range: Range;
  question: Question;
  /** The search that runs, by which it is watched and ended. */
  searchId: string | undefined;
  rows: readonly Row[];
  /** The answer when it is groups (`... | stats`) instead of events; it is not live. */
  groups: readonly Group[] | undefined;
  /** Rows that search (not the live view) has given so far: where the next page begins. */
  fetched: number;
  /** Search stopped at `limit`: there is more below. */
  cut: boolean;
  /** What the server says about the answer, such as what a limit left out. */
  notices: readonly Notice[];
  limit: number;
  tookMs: number;
  /** What the answer lacks because it could not be read. */
  unread: readonly Unread[];
  phase: "running" | "done" | "failed";
  error: unknown;
  paused: boolean;
  /** Rows that arrived since the pause. */
  waiting: number;
  live: "connecting" | "open" | "lost" | "off";
}

/** Opens the live view; `EventSource` in the page, something tame in tests. */
export type OpenTail = (address: string) => EventSource;

const RETRY_MS = 3_000;

/**
 * One question and its answer, kept up to date. The live view opens before the search starts, so that
 * no event falls between them; an event that comes both ways is kept once. After an interruption the
 * newest page is asked for again, so that what arrived meanwhile is not missed.
 */
export class Feed {
  private state: FeedState = {
    query: "", range: "24h", question: plain("", "24h"), searchId: undefined, rows: [], groups: undefined, fetched: 0, cut: false, notices: [], limit: 0, tookMs: 0, unread: [], phase: "running", error: undefined,
    paused: false, waiting: 0, live: "connecting",
  };
  private readonly listeners = new Set<() => void>();
  private readonly openTail: OpenTail;
  private tail: EventSource | undefined;
  private abort = new AbortController();
  private arrived: Row[] = [];
  /** While paused: more was missed than a page holds, so resuming asks anew. */
  private gapAbove = false;
  private asleep = false;
  private drawTimer: ReturnType<typeof setTimeout> | undefined;
  private behindTimer: ReturnType<typeof setTimeout> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(openTail: OpenTail = (address) => new EventSource(address)) {
    this.openTail = openTail;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  readonly snapshot = (): FeedState => this.state;

  /** Asks a new question; the earlier one is dropped. */
  ask(query: string, range: Range, question: Question = plain(query, range)): void {
    this.stop();
    this.abort = new AbortController();
    const live = isLive(question) ? "connecting" : "off";
    this.change({ query, range: rangeOf(question) ?? "all", question, rows: [], groups: undefined, fetched: 0, cut: false, notices: [], unread: [], phase: "running", error: undefined, paused: false, waiting: 0, live });
    if (live !== "off") this.listen();
    void this.page();
  }

  /** Keeps the list still; what arrives is held back, at most one list of it. */
  pause(): void {
    this.draw();
    this.change({ paused: true });
  }

  resume(): void {
    if (this.gapAbove) {
      this.ask(this.state.query, this.state.range, this.state.question);
      return;
    }
    this.change({ paused: false });
    this.draw();
  }

  /** The next older page. Whoever reads older rows does not want the list to move: it pauses. */
  loadMore(): void {
    if (this.state.phase === "running") return;
    this.pause();
    this.change({ phase: "running" });
    void this.page();
  }

  /** Gives the live connection back while nobody looks. */
  sleep(): void {
    this.tail?.close();
    clearTimeout(this.retryTimer);
    this.asleep = true;
  }

  /** Goes on after `sleep`, with what came meanwhile. */
  wake(): void {
    if (!this.asleep) return;
    this.asleep = false;
    if (this.state.groups !== undefined || this.state.live === "off" || this.refused()) return;
    this.change({ live: "lost" });
    this.listen();
  }

  /** Ends every request, connection and timer. */
  stop(): void {
    this.abort.abort();
    this.tail?.close();
    clearTimeout(this.drawTimer);
    clearTimeout(this.retryTimer);
    clearTimeout(this.behindTimer);
    this.drawTimer = undefined;
    this.behindTimer = undefined;
    this.arrived = [];
    this.gapAbove = false;
    this.asleep = false;
  }

  /** Ends the search that runs; its refusal then says so. */
  cancel(): void {
    const { searchId } = this.state;
    // It may have ended at this moment, which is as good.
    if (searchId !== undefined) cancelSearch(searchId).catch(() => undefined);
  }

  private async page(): Promise<void> {
    const { signal } = this.abort;
    const { question } = this.state;
    try {
      // Rows that came live stand above those the search gave, so an older page may hold nothing new.
      for (let pages = 0; pages < LOAD_PAGES_MAX; pages += 1) {
        const offset = this.state.fetched;
        const id = newSearchId();
        this.change({ searchId: id });
        const answer = await search(question, offset, id, signal);
        if (signal.aborted) return;
        const shown = this.show(answer, offset);
        if (shown || !answer.cut || answer.rows.length === 0) break;
      }
      this.change({ phase: "done", error: undefined, searchId: undefined });
    } catch (error) {
      if (signal.aborted) return;
      this.change({ phase: "failed", error, searchId: undefined });
    }
  }

  /** Puts a page below what is there; says whether it held anything new. */
  private show(answer: SearchAnswer, offset: number): boolean {
    const { rows, groups } = this.state;
    const page = {
      fetched: offset + answer.rows.length, cut: answer.cut, notices: answer.notices ?? [], limit: answer.limit, tookMs: answer.took_ms,
      unread: offset === 0 ? answer.unread ?? [] : together(this.state.unread, answer.unread ?? []),
    };
    if (answer.live === false) this.neverLive();
    const events = answer.rows.filter(isEvent);
    if (events.length < answer.rows.length) {
      this.tail?.close();
      clearTimeout(this.retryTimer);
      this.change({ ...page, groups: [...(groups ?? []), ...answer.rows.map((row): Group => ({ ...row }))] });
      return true;
    }
    const below = append(rows, events);
    this.change({ ...page, rows: below });
    return below.length > rows.length;
  }

  /**
   * After an interruption: the newest page again, above what is there. When it does not reach down to
   * what is there, the list begins anew from it, rather than hide a gap.
   */
  private async catchUp(rowsMissed = false): Promise<void> {
    const { signal } = this.abort;
    const { question } = this.state;
    try {
      const answer = await search(question, 0, newSearchId(), signal);
      if (signal.aborted) return;
      const events = answer.rows.filter(isEvent);
      const fresh = events.filter((row) => !this.known(row));
      const gap = rowsMissed || (answer.cut && fresh.length === events.length && this.state.rows.length > 0);
      if (this.state.phase !== "done") this.show(answer, 0);
      else if (!gap) this.take(fresh.reverse());
      else if (this.state.paused) this.gapAbove = true;
      else this.change({
        rows: events, fetched: events.length, cut: answer.cut, notices: answer.notices ?? [], limit: answer.limit, tookMs: answer.took_ms,
        unread: answer.unread ?? [],
      });
      this.change({ phase: "done", error: undefined });
    } catch {
      // The live view is open, so the server is there; the next interruption or search tries again.
    }
  }

  private listen(): void {
    this.tail?.close();
    let interrupted = false;
    const tail = this.openTail(tailAddress(this.state.query, this.state.question.zone));
    this.tail = tail;
    tail.onopen = () => {
      const wasLost = interrupted || this.state.live === "lost";
      interrupted = false;
      this.change({ live: "open" });
      if (wasLost) void this.catchUp();
    };
    tail.onmessage = (message: MessageEvent<unknown>) => {
      if (typeof message.data !== "string") return;
      const row = parseRow(message.data);
      if (row !== undefined) this.take([row]);
      else if (saysMissed(message.data)) this.fellBehind();
    };
    tail.onerror = () => {
      if (this.state.live === "off") return;
      interrupted = true;
      this.change({ live: "lost" });
      // The browser retries a broken connection by itself, but not one that was answered with an error.
      if (tail.readyState === 2) {
        clearTimeout(this.retryTimer);
        this.retryTimer = setTimeout(() => {
          if (!this.abort.signal.aborted && !this.refused()) this.listen();
        }, RETRY_MS);
      }
    };
  }

  /** More came than the live view could show: the list begins anew, since it now has a gap. */
  private fellBehind(): void {
    this.behindTimer ??= setTimeout(() => {
      this.behindTimer = undefined;
      void this.catchUp(true);
    }, BEHIND_MS);
  }

  /** Its commands know no events as they arrive: the live view would be refused for ever. */
  private neverLive(): void {
    this.tail?.close();
    clearTimeout(this.retryTimer);
    this.change({ live: "off" });
  }

  /** The server said no, or answered what is not live: the live view would be refused again. */
  private refused(): boolean {
    const { error } = this.state;
    return this.state.live === "off" || this.state.groups !== undefined || (error instanceof ApiError && !error.gone);
  }

  private known(row: Row): boolean {
    return this.state.rows.some((one) => one["event.id"] === row["event.id"]);
  }

  private take(rows: readonly Row[]): void {
    if (rows.length === 0) return;
    this.arrived.push(...rows);
    if (this.arrived.length > LIST_ROWS_MAX) this.arrived.splice(0, this.arrived.length - LIST_ROWS_MAX);
    this.drawTimer ??= setTimeout(() => {
      this.drawTimer = undefined;
      if (this.state.paused) this.change({ waiting: this.arrived.length });
      else this.draw();
    }, TAIL_DRAW_MS);
  }

  private draw(): void {
    const arrived = this.arrived;
    this.arrived = [];
    this.change(arrived.length === 0 ? { waiting: 0 } : { rows: prepend(this.state.rows, arrived), waiting: 0 });
  }

  private change(part: Partial<FeedState>): void {
    this.state = { ...this.state, ...part };
    for (const listener of this.listeners) listener();
  }
}

/** What two pages of an answer lack, of each store the larger part: they read the same files. */
function together(before: readonly Unread[], after: readonly Unread[]): readonly Unread[] {
  const larger = (one: Unread) => {
    const other = after.find((later) => later.store === one.store);
    return other !== undefined && other.files > one.files ? other : one;
  };
  return [...before.map(larger), ...after.filter((one) => before.every((known) => known.store !== one.store))];
}
