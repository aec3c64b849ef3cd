import { useState } from "react";
import { permalink } from "./api";
import { failureText } from "./AlertPanel";
import type { Feed, FeedState } from "./feed";
import { takenByIme } from "./hooks";
import { useWords } from "./i18n";
import { columnsOf, isFixed, type Question } from "./question";
import { SaveForm } from "./SaveForm";
import { SearchProgress } from "./SearchProgress";
import { localTime } from "./time";

interface Props {
  events: FeedState;
  feed: Feed;
  now: Date;
  askAll: (question: Question) => void;
}

/** What surrounds a search: how far it is, its times, order and columns, a link to it, and its saving. */
export function SearchTools({ events, feed, now, askAll }: Props) {
  const words = useWords();
  const { lang, t } = words;
  const { question } = events;
  const [link, setLink] = useState<string>();
  const [said, setSaid] = useState("");
  const [saving, setSaving] = useState(false);

  const copy = async () => {
    try {
      const { parameters } = await permalink(question);
      const address = `${location.origin}/?${new URLSearchParams(parameters).toString()}`;
      setLink(address);
      try {
        await navigator.clipboard.writeText(address);
        setSaid(t.linkCopied);
      } catch {
        // A browser may keep its clipboard to itself; the link stands there to be copied.
        setSaid(t.linkThere);
      }
    } catch (error) {
      setLink(undefined);
      setSaid(failureText(error, words));
    }
  };

  return (
    <div className="search-tools">
      {events.phase === "running" && events.searchId !== undefined ? (
        <SearchProgress key={events.searchId} id={events.searchId} cancel={() => { feed.cancel(); }} />
      ) : null}
      {question.asOf === undefined ? null : (
        <p className="as-of">
          {t.asOf(localTime(question.asOf, now, lang, question.zone))}{" "}
          <button type="button" onClick={() => { askAll({ ...question, asOf: undefined }); }}>
            {t.asOfNow}
          </button>
        </p>
      )}
      <div className="tools">
        <button type="button" onClick={() => void copy()}>
          {t.linkCopy}
        </button>
        <button type="button" aria-expanded={saving} onClick={() => { setSaving(!saving); }}>
          {t.saveSearch}
        </button>
        <TimesAndColumns key={JSON.stringify(question)} question={question} askAll={askAll} />
        <output>{said}</output>
      </div>
      {link === undefined ? null : <input className="link" readOnly aria-label={t.linkField} value={link} onFocus={(event) => { event.target.select(); }} />}
      {saving ? (
        <SaveForm
          search={{
            name: "", query: question.query, columns: question.columns, sort: question.sort,
            last: question.last, from: question.from, to: question.to, time_zone: question.zone,
          }}
          isNew
          done={(name) => {
            setSaving(false);
            if (name !== undefined) setSaid(t.searchSaved(name));
          }}
        />
      ) : null}
    </div>
  );
}

/** From, to, order and columns: what the list of ranges cannot say. */
function TimesAndColumns({ question, askAll }: { question: Question; askAll: (question: Question) => void }) {
  const { t } = useWords();
  const [from, setFrom] = useState(question.from ?? "");
  const [to, setTo] = useState(question.to ?? "");
  const [columns, setColumns] = useState(question.columns.join(", "));
  const given = (text: string) => (text.trim() === "" ? undefined : text.trim());
  const fields = [
    { label: t.timeFrom, value: from, set: setFrom, hint: "2026-11-21 09:00" },
    { label: t.timeTo, value: to, set: setTo, hint: "now-15m" },
    { label: t.columns, value: columns, set: setColumns, hint: "user.name, source.ip" },
  ];
  return (
    <details open={isFixed(question) || question.columns.length > 0 || question.sort === "oldest"}>
      <summary>{t.timesAndColumns}</summary>
      <form
        className="times"
        onSubmit={(event) => {
          event.preventDefault();
          const times = { from: given(from), to: given(to) };
          const last = times.from === undefined && times.to === undefined ? question.last : undefined;
          askAll({ ...question, ...times, last, columns: columnsOf(columns) });
        }}
      >
        {fields.map((field) => (
          <label key={field.label}>
            {field.label}
            <input
              value={field.value}
              placeholder={field.hint}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => { field.set(event.target.value); }}
              onKeyDown={(event) => { if (event.key === "Enter" && takenByIme(event.nativeEvent)) event.preventDefault(); }}
            />
          </label>
        ))}
        <label>
          {t.order}
          <select value={question.sort} onChange={(event) => { askAll({ ...question, sort: event.target.value === "oldest" ? "oldest" : "newest" }); }}>
            <option value="newest">{t.newestFirst}</option>
            <option value="oldest">{t.oldestFirst}</option>
          </select>
        </label>
        <button type="submit">{t.apply}</button>
      </form>
    </details>
  );
}
