import { useCallback, useEffect, useState } from "react";
import { removeSaved, restoreSaved, savedSearch, savedSearches, type SavedListed, type SavedRun, type SavedSearch } from "./api";
import { failureText } from "./AlertPanel";
import { Hostile } from "./Hostile";
import { usePolled } from "./hooks";
import { useWords, type Words } from "./i18n";
import { LEVEL_WORD } from "./LevelBadge";
import { SAVED_POLL_MS, SENTENCE_CHARS_MAX, UNDO_MS } from "./limits";
import { soundZone, type Question } from "./question";
import { SaveForm } from "./SaveForm";
import { Time } from "./Time";
import { UnreadLine } from "./UnreadLine";

interface Props {
  now: Date;
  askAll: (question: Question) => void;
}

/** The saved searches: to be opened, run by themselves, removed and had back. */
export function SavedPanel({ now, askAll }: Props) {
  const words = useWords();
  const { t } = words;
  const { value, refresh } = usePolled(savedSearches, SAVED_POLL_MS);
  const [said, setSaid] = useState<{ text: string; removed?: string }>({ text: "" });
  const [edited, setEdited] = useState<string>();
  const [looked, setLooked] = useState<string>();

  useEffect(() => {
    if (said.removed === undefined) return;
    const timer = setTimeout(() => { setSaid({ text: "" }); }, UNDO_MS);
    return () => { clearTimeout(timer); };
  }, [said]);

  const act = async (what: () => Promise<unknown>, after: { text: string; removed?: string }) => {
    try {
      await what();
      setSaid(after);
    } catch (error) {
      setSaid({ text: failureText(error, words) });
    }
    refresh();
  };

  return (
    <section className="alerts-view" aria-label={t.savedSearches}>
      <div className="done" role="status">
        {said.text === "" ? null : <span><Hostile text={said.text} max={400} /></span>}
        {said.removed === undefined ? null : (
          <button type="button" onClick={() => { const name = said.removed; if (name !== undefined) void act(() => restoreSaved(name), { text: t.savedRestored(name) }); }}>
            {t.undo}
          </button>
        )}
      </div>
      {value?.searches.length === 0 ? (
        <div className="empty">
          <p className="empty-title">{t.savedNone}</p>
          <p>{t.savedNoneHint}</p>
        </div>
      ) : null}
      <ol className="alert-list">
        {value?.searches.map((one) => (
          <li key={one.name} className={isLacking(one.last_run) ? "alert alert-high" : "alert"}>
            <h3>
              <span className="rule"><Hostile text={one.name} max={200} /></span>
              <span className="count">{timeOf(one, words)}</span>
            </h3>
            {one.description === undefined ? null : <p><Hostile text={one.description} max={SENTENCE_CHARS_MAX} /></p>}
            <p><code><Hostile text={one.query === "" ? "*" : one.query} max={400} /></code></p>
            <p className="alert-facts">
              <span><Hostile text={one.owner} max={100} /></span>
              {one.schedule === undefined ? null : <span>{scheduleOf(one, words)}</span>}
              {one.next_run === undefined || one.next_run === null ? null : <span>{t.nextRun} <Time iso={one.next_run} now={now} /></span>}
            </p>
            {one.last_run === undefined || one.last_run === null ? null : <RunLine run={one.last_run} now={now} />}
            <div className="acts">
              <button type="button" aria-label={t.savedOpenNamed(one.name)} onClick={() => { askAll(questionOfSaved(one)); }}>
                {t.savedOpen}
              </button>
              <button type="button" aria-label={t.scheduleOf(one.name)} aria-expanded={edited === one.name} onClick={() => { setEdited(edited === one.name ? undefined : one.name); }}>
                {t.schedule}
              </button>
              {one.last_run === undefined || one.last_run === null ? null : (
                <button type="button" aria-expanded={looked === one.name} onClick={() => { setLooked(looked === one.name ? undefined : one.name); }}>
                  {t.savedRuns}
                </button>
              )}
              <button type="button" aria-label={t.savedRemoveNamed(one.name)} onClick={() => void act(() => removeSaved(one.name), { text: t.savedRemoved(one.name), removed: one.name })}>
                {t.savedRemove}
              </button>
            </div>
            {looked === one.name ? <Runs name={one.name} now={now} /> : null}
            {edited === one.name ? (
              <SaveForm
                search={definitionOf(one)}
                done={(name) => {
                  setEdited(undefined);
                  if (name !== undefined) setSaid({ text: t.searchSaved(name) });
                  refresh();
                }}
              />
            ) : null}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Runs({ name, now }: { name: string; now: Date }) {
  const look = useCallback((signal: AbortSignal) => savedSearch(name, signal), [name]);
  const { value } = usePolled(look, SAVED_POLL_MS);
  return (
    <ol className="runs">
      {value?.runs.map((run) => (
        <li key={run["@timestamp"]}>
          <RunLine run={run} now={now} />
        </li>
      ))}
    </ol>
  );
}

function RunLine({ run, now }: { run: SavedRun; now: Date }) {
  const { lang, t } = useWords();
  const count = (number: number) => number.toLocaleString(lang);
  const missed = run["search.missed"] ?? 0;
  const error = (lang === "ja" ? run["error.message_ja"] : undefined) ?? run["error.message"] ?? "";
  return (
    <p className="alert-facts">
      <span><Time iso={run["@timestamp"]} now={now} /></span>
      <span>{run["search.outcome"] === "failed" ? <>{t.runFailed} <Hostile text={error} max={400} /></> : t.runRows(count(run["search.rows"]), count(run["search.duration_ms"]))}</span>
      {run["search.alerts"] === 0 ? null : <span>{t.runAlerts(count(run["search.alerts"]))}</span>}
      {missed === 0 ? null : <span>{t.runMissed(count(missed))}</span>}
      {run["search.unread"]?.map((one) => <UnreadLine key={one.store} unread={one} />)}
    </p>
  );
}

/** Whether a run failed or could not read everything. */
function isLacking(run: SavedRun | null | undefined): boolean {
  return run?.["search.outcome"] === "failed" || (run?.["search.unread"]?.length ?? 0) > 0;
}

/** What was saved, without what is known about it. */
function definitionOf({ name, query, description, from, to, last, time_zone, columns, sort, schedule }: SavedListed): SavedSearch {
  return { name, query, description, from, to, last, time_zone, columns, sort, schedule };
}

function questionOfSaved(saved: SavedSearch): Question {
  return {
    query: saved.query, last: saved.last, from: saved.from, to: saved.to, zone: soundZone(saved.time_zone),
    columns: saved.columns ?? [], sort: saved.sort ?? "newest",
  };
}

function timeOf(one: SavedListed, { t }: Words): string {
  if (one.last !== undefined) return t.lastSpan(one.last);
  if (one.from === undefined && one.to === undefined) return t.rangeAll;
  return `${one.from ?? ""} – ${one.to ?? ""}`;
}

function scheduleOf(one: SavedListed, { lang, t }: Words): string {
  const { schedule } = one;
  if (schedule === undefined) return "";
  const zone = schedule.time_zone ?? one.time_zone ?? "UTC";
  const when = schedule.every_minutes !== undefined ? t.everyMinutes(schedule.every_minutes.toLocaleString(lang)) : schedule.daily !== undefined ? t.dailyAt(schedule.daily, zone) : `cron ${schedule.cron ?? ""} ${zone}`;
  return t.scheduleSaid(when, schedule.rows_over.toLocaleString(lang), t[LEVEL_WORD[schedule.level]] as string);
}
