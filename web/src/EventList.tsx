import { memo, useState } from "react";
import { ActTable } from "./ActTable";
import type { Level, Range, Row, StatusAnswer } from "./api";
import { EmptyState } from "./EmptyState";
import type { Feed, FeedState } from "./feed";
import { GroupTable } from "./GroupTable";
import { Hostile } from "./Hostile";
import { useWords } from "./i18n";
import { highest, LevelBadge } from "./LevelBadge";
import { LIST_ROWS_MAX, SENTENCE_CHARS_MAX } from "./limits";
import { valueText } from "./rows";
import { Time } from "./Time";
import { zoneOffset } from "./time";
import { UnreadLine } from "./UnreadLine";

interface Props {
  events: FeedState;
  feed: Feed;
  now: Date;
  /** Levels of events that alerts name. */
  levels: ReadonlyMap<string, Level>;
  opened: Row | undefined;
  open: (row: Row) => void;
  ask: (query: string, range: Range) => void;
  storeEmpty: boolean;
  listeners: StatusAnswer["listeners"];
}

export function EventList({ events, feed, now, levels, opened, open, ask, storeEmpty, listeners }: Props) {
  const { lang, t } = useWords();
  const { rows } = events;
  const { groups } = events;
  const { columns } = events.question;
  const [asActs, setAsActs] = useState(false);
  const empty = rows.length === 0 && groups === undefined && events.phase === "done";
  return (
    <section className="panel events" id="events" aria-label={t.events} tabIndex={-1}>
      <div className="panel-head">
        <h2>{t.events}</h2>
        <output>{summary(events, t, lang)}</output>
        {events.phase === "failed" || groups !== undefined || events.live === "off" ? null : <span className={`live live-${events.paused ? "paused" : events.live}`}>
          {events.live === "lost" ? t.liveLost : events.paused ? t.livePaused : t.liveNow}
        </span>}
        <button type="button" className="pause" title={t.actsTitle} aria-pressed={asActs} onClick={() => { setAsActs(!asActs); }}>
          {t.acts}
        </button>
        <button
          type="button"
          className="pause"
          title="p"
          hidden={groups !== undefined || events.live === "off"}
          onClick={() => {
            if (events.paused) feed.resume();
            else feed.pause();
          }}
        >
          {events.paused ? (events.waiting > 0 ? t.resumeWith(events.waiting.toLocaleString(lang)) : t.resume) : t.pause}
        </button>
      </div>
      {events.unread.map((one) => (
        <p key={one.store}>
          <UnreadLine unread={one} />
        </p>
      ))}
      {asActs ? (
        <div className="rows" tabIndex={-1}>
          <ActTable
            key={JSON.stringify(events.question)}
            question={events.question}
            now={now}
            ask={(query, range) => {
              setAsActs(false);
              ask(query, range);
            }}
          />
        </div>
      ) : empty ? (
        <EmptyState searched={events.query !== ""} storeEmpty={storeEmpty} range={events.range} ask={ask} listeners={listeners} />
      ) : (
        <div className="rows" tabIndex={-1}>
          {groups === undefined ? null : <GroupTable groups={groups} />}
          <table hidden={groups !== undefined}>
            <thead>
              <tr>
                <th scope="col">
                  {t.time} <span className="zone">{zoneOffset(now, events.question.zone)}</span>
                </th>
                <th scope="col">{t.level}</th>
                <th scope="col">{t.host}</th>
                {columns.map((column) => (
                  <th key={column} scope="col">
                    <Hostile text={column} max={200} />
                  </th>
                ))}
                <th scope="col">{t.sentence}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <EventRow
                  key={row["event.id"]}
                  row={row}
                  level={highest([levels.get(row["event.id"]), ...(row.alerts ?? []).map((alert) => alert["rule.level"])])}
                  now={now}
                  open={open}
                  columns={columns}
                  current={row["event.id"] === opened?.["event.id"]}
                />
              ))}
            </tbody>
          </table>
          <div className="rows-end">
            {events.notices.map((notice) => (
              <span key={notice.en} role="status">
                <Hostile text={notice[lang]} max={SENTENCE_CHARS_MAX} />
              </span>
            ))}
            {events.cut ? (
              <>
                <span>{t.cutAt((groups ?? rows).length.toLocaleString(lang))}</span>
                <button
                  type="button"
                  disabled={events.phase === "running"}
                  onClick={() => {
                    feed.loadMore();
                  }}
                >
                  {t.loadMore}
                </button>
              </>
            ) : rows.length >= LIST_ROWS_MAX ? (
              <span>{t.listCapped(LIST_ROWS_MAX.toLocaleString(lang))}</span>
            ) : null}
          </div>
        </div>
      )}
    </section>
  );
}

interface RowProps {
  row: Row;
  level: Level | undefined;
  now: Date;
  open: (row: Row) => void;
  columns: readonly string[];
  current: boolean;
}

/** Drawn again only when it changes itself: a busy live view replaces few of its rows at a time. */
const EventRow = memo(function EventRow({ row, level, now, open, columns, current }: RowProps) {
  const { lang, t } = useWords();
  return (
    <tr
      className={current ? "current" : undefined}
      onClick={() => {
        // Selecting text in a row is reading, not opening.
        if (document.getSelection()?.isCollapsed !== false) open(row);
      }}
    >
      <td className="time">
        <Time iso={row["@timestamp"]} now={now} />
      </td>
      <td className="level-cell">{level === undefined ? <span className="sr-only">{t.noAlert}</span> : <LevelBadge level={level} />}</td>
      <td className="host">
        <Hostile text={row["host.name"] ?? ""} max={80} />
      </td>
      {columns.map((column) => (
        <td key={column} className="column">
          <Hostile text={valueText(row.fields[column] ?? (row as unknown as Record<string, unknown>)[column] ?? "")} max={200} />
        </td>
      ))}
      <td className="sentence">
        <button type="button" className="row-open" id={`row ${row["event.id"]}`} aria-expanded={current}>
          <Hostile text={row.sentence[lang]} max={SENTENCE_CHARS_MAX} />
        </button>
      </td>
    </tr>
  );
});

function summary(events: FeedState, t: ReturnType<typeof useWords>["t"], lang: string): string {
  if (events.phase === "running") return t.running;
  if (events.phase === "failed") return "";
  if (events.groups !== undefined) return t.groups(events.groups.length.toLocaleString(lang), events.tookMs.toLocaleString(lang));
  const count = events.rows.length.toLocaleString(lang);
  const ms = events.tookMs.toLocaleString(lang);
  return events.cut ? t.foundMore(count, ms) : t.found(count, ms);
}
