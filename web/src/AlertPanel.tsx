import { useCallback, useEffect, useRef, useState } from "react";
import { acknowledge, alerts as askAlerts, ApiError, closeAlert, reopen, type Alert, type AlertsAnswer, type AlertState, type Precedent, type Range, type Verdict } from "./api";
import { Hostile } from "./Hostile";
import { usePolled } from "./hooks";
import { useWords, type Catalogue, type Words } from "./i18n";
import { LevelBadge } from "./LevelBadge";
import { ALERTS_POLL_MS, SENTENCE_CHARS_MAX } from "./limits";
import { exactly } from "./rows";
import { localTime } from "./time";
import { Time } from "./Time";

const STATES: readonly { state: AlertState | "all"; word: keyof Catalogue }[] = [
  { state: "new", word: "stateNew" },
  { state: "acknowledged", word: "stateAcknowledged" },
  { state: "closed", word: "stateClosed" },
  { state: "all", word: "stateAll" },
];
export const VERDICTS: readonly { verdict: Verdict; word: keyof Catalogue }[] = [
  { verdict: "true_positive", word: "verdictTruePositive" },
  { verdict: "benign", word: "verdictBenign" },
  { verdict: "false_positive", word: "verdictFalsePositive" },
  { verdict: "duplicate", word: "verdictDuplicate" },
];
/** Words for what rules and the desk name by id; an id we do not know is shown as it is. */
export const PHASES: ReadonlyMap<string, keyof Catalogue> = new Map([
  ["initial-access", "phaseInitialAccess"],
  ["persistence-defense-evasion", "phasePersistence"],
  ["privilege-lateral", "phasePrivilege"],
  ["objective-anti-forensics", "phaseObjective"],
]);
export const ENTITIES: ReadonlyMap<string, keyof Catalogue> = new Map([
  ["host", "entityHost"],
  ["user", "entityUser"],
  ["source_ip", "entityAddress"],
]);
/** Events of an alert that "show its events" asks for. */
const ALERT_EVENTS_MAX = 20;

/** The alerts in one state, as last seen, and the choice of that state. */
export interface Alerts {
  state: AlertState | "all";
  setState: (state: AlertState | "all") => void;
  answer: AlertsAnswer | undefined;
  refresh: () => void;
}

/** Looks at the alerts again and again. */
export function useAlerts(): Alerts {
  const [state, setState] = useState<AlertState | "all">("new");
  const look = useCallback((signal: AbortSignal) => askAlerts(state, signal).then((answer) => ({ ...answer, state })), [state]);
  const { value, refresh } = usePolled(look, ALERTS_POLL_MS);
  return { state, setState, answer: value?.state === state ? value : undefined, refresh };
}

/** What was just done, and how to take it back. */
interface Done {
  text: string;
  undo?: () => Promise<unknown>;
}

interface Props {
  now: Date;
  ask: (query: string, range: Range) => void;
  openAlert: (id: string) => void;
}

export function AlertPanel({ now, ask, openAlert, alerts }: Props & { alerts: Alerts }) {
  const words = useWords();
  const { lang, t } = words;
  const { state, setState, answer, refresh } = alerts;
  const [done, setDone] = useState<Done>();
  const announced = useAnnouncement(answer?.alerts, state, words);

  const act = async (what: () => Promise<unknown>, said: Done) => {
    try {
      await what();
      setDone(said);
    } catch (error) {
      setDone({ text: failureText(error, words) });
    }
    refresh();
  };

  return (
    <section className="alerts-view" aria-label={t.alerts}>
      <div className="panel-head">
        <output>{answer === undefined ? "" : t.alertsShown(answer.alerts.length.toLocaleString(lang), answer.total.toLocaleString(lang))}</output>
        <div className="states" role="group" aria-label={t.alertState}>
          {STATES.map((one) => (
            <button
              key={one.state}
              type="button"
              aria-pressed={one.state === state}
              onClick={() => {
                setState(one.state);
              }}
            >
              {t[one.word] as string}
            </button>
          ))}
        </div>
      </div>
      <div className="done" role="status">
        {done === undefined ? null : (
          <>
            <span>{done.text}</span>
            {done.undo === undefined ? null : (
              <button
                type="button"
                onClick={() => {
                  if (done.undo !== undefined) void act(done.undo, { text: "" });
                }}
              >
                {t.undo}
              </button>
            )}
          </>
        )}
      </div>
      <div className="sr-only" aria-live="polite">
        {announced}
      </div>
      {answer?.alerts.length === 0 ? (
        <div className="empty">
          <p className="empty-title">{t.alertsNone}</p>
          <p>{t.alertsNoneHint}</p>
        </div>
      ) : (
        <ol className="alert-list">
          {answer?.alerts.map((alert) => (
            <AlertCard key={alert["alert.id"]} alert={alert} now={now} ask={ask} openAlert={openAlert} act={act} />
          ))}
        </ol>
      )}
    </section>
  );
}

interface CardProps extends Props {
  alert: Alert;
  act: (what: () => Promise<unknown>, said: Done) => Promise<void>;
}

function AlertCard({ alert, now, ask, openAlert, act }: CardProps) {
  const words = useWords();
  const { lang, t } = words;
  const [judging, setJudging] = useState(false);
  const id = alert["alert.id"];
  const name = ruleName(alert, words);
  const undo = () => reopen(id);
  const verdict = VERDICTS.find((one) => one.verdict === alert["alert.verdict"]);
  return (
    <li className={`alert alert-${alert["rule.level"]}`}>
      <h3>
        <LevelBadge level={alert["rule.level"]} />
        <span className="rule">
          <Hostile text={name} max={200} />
        </span>
        <span className="count" title={t.alertCountLabel(alert.count.toLocaleString(lang))}>
          {t.alertCount(alert.count.toLocaleString(lang))}
        </span>
      </h3>
      <p>
        <Hostile text={alert.sentence[lang]} max={SENTENCE_CHARS_MAX} />
      </p>
      <p className="alert-facts">
        <Time iso={alert.last_seen} now={now} />
        <span className="entity">
          {wordFor(ENTITIES, alert.entity.kind, words)} <Hostile text={alert.entity.value} max={200} />
        </span>
        {alert.phase === undefined || alert.phase === null ? null : (
          <span title={t.phase}>
            <Hostile text={wordFor(PHASES, alert.phase, words)} max={80} />
          </span>
        )}
        {alert["alert.state"] === "new" ? null : (
          <span className="state">
            {t[alert["alert.state"] === "acknowledged" ? "stateAcknowledged" : "stateClosed"]}
            {verdict === undefined ? null : `: ${t[verdict.word] as string}`}
          </span>
        )}
      </p>
      {alert.precedent === undefined ? null : (
        <p className="precedent">
          <PrecedentText precedent={alert.precedent} now={now} />
        </p>
      )}
      <div className="acts">
        {alert["alert.state"] === "new" ? (
          <button type="button" onClick={() => void act(() => acknowledge(id), { text: t.alertAcknowledged(name), undo })}>
            {t.acknowledge}
          </button>
        ) : null}
        {alert["alert.state"] === "closed" ? (
          <button type="button" onClick={() => void act(undo, { text: t.alertReopened(name) })}>
            {t.reopen}
          </button>
        ) : (
          <button type="button" aria-expanded={judging} onClick={() => { setJudging(!judging); }}>
            {t.closeAlert}
          </button>
        )}
        {judging && alert["alert.state"] !== "closed"
          ? VERDICTS.map((one) => (
              <button
                key={one.verdict}
                type="button"
                className="verdict"
                onClick={() => void act(() => closeAlert(id, one.verdict), { text: t.alertClosed(name), undo })}
              >
                {t[one.word] as string}
              </button>
            ))
          : null}
        <button type="button" id={`alert ${id}`} onClick={() => { openAlert(id); }}>
          {t.why}
        </button>
        <button
          type="button"
          className="plain"
          onClick={() => {
            ask(alert["event.ids"].slice(0, ALERT_EVENTS_MAX).map((event) => exactly("event.id", event)).join(" or "), "all");
          }}
        >
          {t.alertEvents}
        </button>
      </div>
    </li>
  );
}

/** Tells a screen reader about alerts that were not there before. */
function useAnnouncement(shown: readonly Alert[] | undefined, state: string, { lang, t }: Words): string {
  const known = useRef<{ state: string; ids: Set<string> } | undefined>(undefined);
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (shown === undefined || (state !== "new" && state !== "all")) return;
    const before = known.current;
    known.current = { state, ids: new Set(shown.map((alert) => alert["alert.id"])) };
    if (before?.state !== state) return;
    const fresh = shown.find((alert) => !before.ids.has(alert["alert.id"]));
     
    if (fresh !== undefined) setSaid(t.newAlert(ruleName(fresh, { lang, t })));
  }, [shown, state, lang, t]);
  return said;
}

/** What was decided before about the same rule and entity, and by whom. */
export function PrecedentText({ precedent, now }: { precedent: Precedent; now: Date }) {
  const words = useWords();
  const { lang, t } = words;
  const counts = VERDICTS.filter((one) => precedent.verdicts[one.verdict] > 0)
    .map((one) => `${t[one.word] as string} ×${precedent.verdicts[one.verdict].toLocaleString(lang)}`)
    .join(", ");
  const last = precedent.last;
  return (
    <>
      {t.precedentCounts(counts)}
      {last === undefined ? null : (
        <>
          {" · "}
          <Hostile text={t.precedentLast(last["user.name"], localTime(last["@timestamp"], now, lang))} max={200} />
        </>
      )}
    </>
  );
}

export function wordFor(known: ReadonlyMap<string, keyof Catalogue>, id: string, { t }: Words): string {
  const key = known.get(id);
  return key === undefined ? id : (t[key] as string);
}

export function ruleName(alert: Alert, { lang }: Words): string {
  return (lang === "ja" ? alert["rule.name_ja"] : undefined) ?? alert["rule.name"];
}

export function failureText(error: unknown, { lang, t }: Words): string {
  if (!(error instanceof ApiError)) return t.requestFailed;
  if (error.gone) return t.serverGone;
  return (lang === "ja" ? error.body?.message_ja : undefined) ?? error.body?.message ?? t.requestFailed;
}
