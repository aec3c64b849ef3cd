import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { AlertDetails } from "./AlertDetails";
import { useAlerts } from "./AlertPanel";
import { ApiError, ledger, status, type Alert, type Level, type Range, type Row } from "./api";
import { DeskPanel } from "./DeskPanel";
import { EventDetails } from "./EventDetails";
import { EventList } from "./EventList";
import { Feed } from "./feed";
import { isTyping, useNow, usePolled } from "./hooks";
import { catalogues, initialLang, LANGS, storedLang, storeLang, WordsContext, type Lang } from "./i18n";
import { highest } from "./LevelBadge";
import { LedgerState } from "./LedgerState";
import { HIDDEN_TAIL_MS, LEDGER_POLL_MS } from "./limits";
import { addressOf, plain, questionOf, type Question } from "./question";
import { SearchBar } from "./SearchBar";
import { SearchTools } from "./SearchTools";
import { ZoneContext } from "./zone";

export function App() {
  const [lang, setLang] = useState<Lang>(() => initialLang(storedLang(), navigator.languages));
  const words = useMemo(() => ({ lang, t: catalogues[lang] }), [lang]);
  const { t } = words;

  useEffect(() => {
    document.documentElement.lang = lang;
    document.title = `${lang === "ja" ? "櫓 Yagura" : "Yagura"} — ${t.tagline}`;
  }, [lang, t]);

  const [feed] = useState(() => new Feed());
  const events = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const [opened, setOpened] = useState<Row>();
  const [alertId, setAlertId] = useState<string>();
  const [text, setText] = useState(() => questionOf(location.search).query);
  const searchBox = useRef<HTMLInputElement>(null);

  const askAll = useCallback(
    (question: Question) => {
      history.replaceState(null, "", addressOf(question));
      setText(question.query);
      feed.ask(question.query, "all", question);
    },
    [feed],
  );
  // Another question and time, in the same zone, columns and order.
  const ask = useCallback(
    (query: string, range: Range) => {
      const { zone, columns, sort } = feed.snapshot().question;
      askAll({ ...plain(query, range), zone, columns, sort });
    },
    [askAll, feed],
  );
  useEffect(() => {
    const question = questionOf(location.search);
    feed.ask(question.query, "all", question);
    return () => {
      feed.stop();
    };
  }, [feed]);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onVisibility = () => {
      clearTimeout(timer);
      if (document.visibilityState === "visible") feed.wake();
      else timer = setTimeout(() => { feed.sleep(); }, HIDDEN_TAIL_MS);
    };
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [feed]);

  const close = useCallback(() => {
    setOpened((row) => {
      // Back to where the reader was, so that the place in the list is not lost.
      if (row !== undefined) document.getElementById(`row ${row["event.id"]}`)?.focus();
      return undefined;
    });
    setAlertId((id) => {
      if (id !== undefined) document.getElementById(`alert ${id}`)?.focus();
      return undefined;
    });
  }, []);
  const open = useCallback((row: Row | undefined) => {
    setAlertId(undefined);
    setOpened(row);
  }, []);
  const openAlert = useCallback((id: string) => {
    setOpened(undefined);
    setAlertId(id);
  }, []);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.isComposing) close();
      if (isTyping(event)) return;
      if (event.key === "/") {
        event.preventDefault();
        searchBox.current?.focus();
        searchBox.current?.select();
      } else if (event.key === "j" || event.key === "k") {
        moveFocus(event.key === "j" ? 1 : -1);
      } else if (event.key === "p") {
        if (feed.snapshot().paused) feed.resume();
        else feed.pause();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("keydown", onKey);
    };
  }, [close, feed]);

  const alerts = useAlerts();
  const levels = useMemo(() => levelsOf(alerts.answer?.alerts ?? []), [alerts.answer]);
  const sealed = usePolled(ledger, LEDGER_POLL_MS);
  const server = usePolled(status, LEDGER_POLL_MS);
  const now = useNow();
  const gone = sealed.error instanceof ApiError && sealed.error.gone;

  return (
    <WordsContext value={words}>
    <ZoneContext value={events.question.zone}>
      <a className="skip" href="#events">
        {t.skipToEvents}
      </a>
      <header className="top">
        <h1>
          <span lang="ja">櫓</span> Yagura
        </h1>
        <LedgerState answer={sealed.value} now={now} />
        <div className="languages" role="group" aria-label={t.language}>
          {LANGS.map((one) => (
            <button
              key={one.lang}
              type="button"
              lang={one.lang}
              aria-pressed={one.lang === lang}
              onClick={() => {
                storeLang(one.lang);
                setLang(one.lang);
              }}
            >
              {one.label}
            </button>
          ))}
        </div>
      </header>
      {gone ? (
        <div className="banner" role="alert">
          <strong>{t.serverGone}</strong> {t.serverGoneHint}
        </div>
      ) : null}
      <SearchBar events={events} ask={ask} askAll={askAll} text={text} setText={setText} searchBox={searchBox} />
      <SearchTools events={events} feed={feed} now={now} askAll={askAll} />
      <main>
        <EventList events={events} feed={feed} now={now} levels={levels} opened={opened} open={open} ask={ask} storeEmpty={sealed.value?.events.size === 0} listeners={server.value?.listeners ?? []} />
        <DeskPanel now={now} ask={ask} askAll={askAll} openAlert={openAlert} alerts={alerts} />
      </main>
      {alertId === undefined ? null : <AlertDetails key={alertId} id={alertId} now={now} close={close} ask={ask} openAlert={openAlert} changed={alerts.refresh} />}
      {opened === undefined ? null : <EventDetails key={opened["event.id"]} row={opened} now={now} close={close} ask={ask} />}
      <footer>
        <span>{t.keysHint}</span>
        {server.value === undefined ? null : <span>Yagura {server.value.version}</span>}
      </footer>
    </ZoneContext>
    </WordsContext>
  );
}

/** The level of each event that an alert names; the highest of several. */
function levelsOf(alerts: readonly Alert[]): ReadonlyMap<string, Level> {
  const levels = new Map<string, Level>();
  for (const alert of alerts) {
    for (const id of alert["event.ids"]) levels.set(id, highest([levels.get(id), alert["rule.level"]]) ?? alert["rule.level"]);
  }
  return levels;
}

function moveFocus(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>(".row-open")];
  const at = rows.findIndex((row) => row === document.activeElement);
  const next = at === -1 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[next]?.focus();
  rows[next]?.scrollIntoView({ block: "nearest" });
}
