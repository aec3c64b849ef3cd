import { useCallback, useEffect, useRef, useState } from "react";
import { acknowledge, addException, alertDetail, closeAlert, removeException, reopen, type AlertDetail, type NewException, type Range } from "./api";
import { ENTITIES, failureText, PrecedentText, ruleName, VERDICTS, wordFor } from "./AlertPanel";
import { ExceptionForm } from "./ExceptionForm";
import { Hostile } from "./Hostile";
import { usePolled } from "./hooks";
import { useWords, type Catalogue } from "./i18n";
import { LevelBadge } from "./LevelBadge";
import { ALERTS_POLL_MS, SENTENCE_CHARS_MAX, VALUE_CHARS_MAX } from "./limits";
import { RiskRow } from "./RiskList";
import { exactly } from "./rows";
import { Time } from "./Time";

interface Props {
  id: string;
  now: Date;
  close: () => void;
  ask: (query: string, range: Range) => void;
  openAlert: (id: string) => void;
  changed: () => void;
}

/** What was just done, and how to take it back. */
interface Done {
  text: string;
  undo?: () => Promise<unknown>;
}

/** One alert: why it was raised, what to check, what was decided before, and what to do about it. */
export function AlertDetails({ id, now, close, ask, openAlert, changed }: Props) {
  const words = useWords();
  const { lang, t } = words;
  const heading = useRef<HTMLHeadingElement>(null);
  const [done, setDone] = useState<Done>();
  const [excepting, setExcepting] = useState(false);
  const look = useCallback((signal: AbortSignal) => alertDetail(id, signal), [id]);
  const { value: alert, error, refresh } = usePolled(look, ALERTS_POLL_MS);
  useEffect(() => {
    heading.current?.focus();
  }, []);

  const act = async (what: () => Promise<unknown>, said: Done) => {
    try {
      await what();
      setDone(said);
    } catch (failure) {
      setDone({ text: failureText(failure, words) });
    }
    refresh();
    changed();
  };
  const except = async (exception: NewException) => {
    try {
      const added = await addException(exception);
      const name = added["exception.id"];
      setDone({ text: t.exceptionAdded(name), undo: () => removeException(name) });
      setExcepting(false);
    } catch (failure) {
      setDone({ text: failureText(failure, words) });
    }
    changed();
  };

  return (
    <aside className="details" role="dialog" aria-label={t.alertDetails}>
      <div className="panel-head">
        <h2 ref={heading} tabIndex={-1}>
          {t.alertDetails}
        </h2>
        <button type="button" onClick={close} title="Esc">
          {t.close}
        </button>
      </div>
      <div className="done" role="status">
        {done === undefined || done.text === "" ? null : (
          <>
            <span>{done.text}</span>
            {done.undo === undefined ? null : (
              <button type="button" onClick={() => { if (done.undo !== undefined) void act(done.undo, { text: "" }); }}>
                {t.undo}
              </button>
            )}
          </>
        )}
      </div>
      {alert === undefined ? (
        <div className="details-body">{error === undefined ? null : <p>{failureText(error, words)}</p>}</div>
      ) : (
        <div className="details-body">
          <p className="details-sentence">
            <LevelBadge level={alert["rule.level"]} /> <Hostile text={ruleName(alert, words)} max={200} />
          </p>
          <p>
            <Hostile text={alert.sentence[lang]} max={SENTENCE_CHARS_MAX} />
          </p>
          <p className="details-when">
            <Time iso={alert.first_seen} now={now} /> – <Time iso={alert.last_seen} now={now} /> · {t.alertCountLabel(alert.count.toLocaleString(lang))} ·{" "}
            {wordFor(ENTITIES, alert.entity.kind, words)} <Hostile text={alert.entity.value} max={200} />
          </p>
          {alert.precedent === undefined ? null : (
            <p className="precedent">
              <strong>{t.precedent}</strong> <PrecedentText precedent={alert.precedent} now={now} />
            </p>
          )}
          <Acts alert={alert} act={act} excepting={excepting} setExcepting={setExcepting} />
          {excepting ? <ExceptionForm alert={alert} save={except} cancel={() => { setExcepting(false); }} /> : null}
          <h3>{t.looksFor}</h3>
          <p>
            <Hostile text={alert.explanation.looks_for[lang]} max={SENTENCE_CHARS_MAX} />
          </p>
          <Held alert={alert} ask={ask} openAlert={openAlert} />
          <Lines title={t.checkNext} lines={alert.explanation.check.map((line) => line[lang])} />
          <Lines title={t.falsePositives} lines={alert.explanation.falsepositives.map((line) => line[lang])} />
          {alert.risk.length === 0 ? null : (
            <>
              <h3>{t.risk}</h3>
              <ul className="plain-list">
                {alert.risk.map((one) => (
                  <li key={`${one["risk.entity"].kind} ${one["risk.entity"].value}`}>
                    <RiskRow risk={one} now={now} openAlert={openAlert} />
                  </li>
                ))}
              </ul>
            </>
          )}
          <Hours alert={alert} now={now} />
          <History alert={alert} now={now} />
          <Lines title={t.references} lines={alert.explanation.references} />
        </div>
      )}
    </aside>
  );
}

interface ActsProps {
  alert: AlertDetail;
  act: (what: () => Promise<unknown>, said: Done) => Promise<void>;
  excepting: boolean;
  setExcepting: (excepting: boolean) => void;
}

function Acts({ alert, act, excepting, setExcepting }: ActsProps) {
  const words = useWords();
  const { t } = words;
  const id = alert["alert.id"];
  const name = ruleName(alert, words);
  const undo = () => reopen(id);
  return (
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
        VERDICTS.map((one) => (
          <button key={one.verdict} type="button" className="verdict" onClick={() => void act(() => closeAlert(id, one.verdict), { text: t.alertClosed(name), undo })}>
            {t[one.word] as string}
          </button>
        ))
      )}
      <button type="button" aria-expanded={excepting} onClick={() => { setExcepting(!excepting); }}>
        {t.exceptionMake}
      </button>
    </div>
  );
}

function Held({ alert, ask, openAlert }: { alert: AlertDetail; ask: Props["ask"]; openAlert: Props["openAlert"] }) {
  const { lang, t } = useWords();
  const held = alert.explanation.held;
  if (held.length === 0) return null;
  return (
    <>
      <h3>{t.held}</h3>
      <table className="fields">
        <tbody>
          {held.map((one, at) => (
            <tr key={at}>
              <th scope="row" title={one.field}>
                <Hostile text={one.label[lang]} max={200} />
              </th>
              <td>
                <Hostile text={one.value} max={VALUE_CHARS_MAX} lines />
                <div className="note">
                  <Hostile text={one.because[lang]} max={SENTENCE_CHARS_MAX} />
                </div>
                <button
                  type="button"
                  className="only-this"
                  title={t.onlyThis}
                  aria-label={`${t.onlyThis}: ${one.field}`}
                  onClick={() => {
                    if (one.field === "alert.id") openAlert(one.value);
                    else ask(exactly(one.field, one.value), "all");
                  }}
                >
                  ⌕
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/** Lines that a rule's author wrote: text, never links to follow without looking. */
function Lines({ title, lines }: { title: string; lines: readonly string[] }) {
  if (lines.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul className="lines">
        {lines.map((line, at) => (
          <li key={at}>
            <Hostile text={line} max={SENTENCE_CHARS_MAX} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Hours({ alert, now }: { alert: AlertDetail; now: Date }) {
  const { lang, t } = useWords();
  const hours = Object.entries(alert["alert.hours"] ?? {});
  if (hours.length < 2) return null;
  const most = Math.max(...hours.map(([, count]) => count));
  return (
    <>
      <h3>{t.perHour}</h3>
      <table className="hours">
        <tbody>
          {hours.slice(-24).map(([hour, count]) => (
            <tr key={hour}>
              <th scope="row">
                <Time iso={hour} now={now} />
              </th>
              <td className="number">{count.toLocaleString(lang)}</td>
              <td aria-hidden="true">{"▇".repeat(Math.max(1, Math.round((count / most) * 20)))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const ACTS: ReadonlyMap<string, keyof Catalogue> = new Map([
  ["acknowledged", "stateAcknowledged"],
  ["closed", "stateClosed"],
  ["reopened", "reopen"],
]);

function History({ alert, now }: { alert: AlertDetail; now: Date }) {
  const words = useWords();
  const { t } = words;
  const steps = alert["alert.history"] ?? [];
  if (steps.length === 0) return null;
  return (
    <>
      <h3>{t.history}</h3>
      <ul className="lines">
        {steps.map((step, at) => {
          const verdict = VERDICTS.find((one) => one.verdict === step["alert.verdict"]);
          return (
            <li key={at}>
              <Time iso={step["@timestamp"]} now={now} /> <Hostile text={step["user.name"]} max={100} /> · {wordFor(ACTS, step["alert.act"], words)}
              {verdict === undefined ? null : `: ${t[verdict.word] as string}`} <Hostile text={step["alert.note"] ?? ""} max={SENTENCE_CHARS_MAX} />
            </li>
          );
        })}
      </ul>
    </>
  );
}
