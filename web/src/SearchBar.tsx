import type { RefObject } from "react";
import { ApiError, RANGES, type Range } from "./api";
import { caretOf } from "./caret";
import type { FeedState } from "./feed";
import { useWords, type Catalogue } from "./i18n";
import { rangeOf, type Question } from "./question";
import { SearchBox } from "./SearchBox";
import { visibleText } from "./visible";

const RANGE_WORD: Readonly<Record<Range, keyof Catalogue>> = {
  "15m": "range15m",
  "1h": "range1h",
  "24h": "range24h",
  "7d": "range7d",
  all: "rangeAll",
};

interface Props {
  events: FeedState;
  ask: (query: string, range: Range) => void;
  askAll: (question: Question) => void;
  text: string;
  setText: (text: string) => void;
  searchBox: RefObject<HTMLInputElement | null>;
}

export function SearchBar({ events, ask, askAll, text, setText, searchBox }: Props) {
  const { t } = useWords();
  const failed = events.phase === "failed" ? events.error : undefined;

  return (
    <div className="search">
      <form
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          askAll({ ...events.question, query: text.trim() });
        }}
      >
        <SearchBox text={text} setText={setText} searchBox={searchBox} failed={failed !== undefined} />
        <select
          aria-label={t.range}
          value={rangeOf(events.question) ?? "other"}
          onChange={(event) => {
            ask(text.trim(), RANGES.find((one) => one === event.target.value) ?? "24h");
          }}
        >
          {rangeOf(events.question) === undefined ? (
            <option value="other" disabled>
              {events.question.last === undefined ? t.rangeOther : t.lastSpan(events.question.last)}
            </option>
          ) : null}
          {RANGES.map((range) => (
            <option key={range} value={range}>
              {t[RANGE_WORD[range]] as string}
            </option>
          ))}
        </select>
        <button type="submit">{t.searchRun}</button>
      </form>
      <div id="search-error" role="alert">
        {failed === undefined ? null : <SearchError error={failed} query={events.query} />}
      </div>
    </div>
  );
}

/** What is wrong with the query, with the place marked in it. */
function SearchError({ error, query }: { error: unknown; query: string }) {
  const { lang, t } = useWords();
  const body = error instanceof ApiError ? error.body : undefined;
  if (error instanceof ApiError && error.gone) return <p className="error">{t.serverGone}</p>;
  const message = (lang === "ja" ? body?.message_ja : undefined) ?? body?.message ?? t.requestFailed;
  const caret = caretOf(body?.place, query);
  return (
    <div className="error">
      {caret === undefined ? null : (
        // The caret stands under its character whatever the widths before it: they are set again, unseen.
        <pre aria-hidden="true">
          {visibleText(caret.line)}
          {"\n"}
          <span className="unseen">{visibleText([...caret.line].slice(0, caret.at).join(""))}</span>
          <span className="caret">{"^".repeat(caret.length)}</span>
        </pre>
      )}
      <p>{message}</p>
    </div>
  );
}
