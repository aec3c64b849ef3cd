import { useCallback, useEffect, useState } from "react";
import { actEvents, acts, type Act, type ActsAnswer, type Range } from "./api";
import type { Question } from "./question";
import { Hostile } from "./Hostile";
import { useWords } from "./i18n";
import { SENTENCE_CHARS_MAX } from "./limits";
import { Time } from "./Time";
import { UnreadLine } from "./UnreadLine";

interface Props {
  question: Question;
  now: Date;
  ask: (query: string, range: Range) => void;
}

interface Told {
  answer: ActsAnswer | undefined;
  error: unknown;
}

/** The acts of the time and the expression that the list of events is about. Of other ones it is another table: give it a key. */
export function ActTable({ question, now, ask }: Props) {
  const { lang, t } = useWords();
  const [told, setTold] = useState<Told>({ answer: undefined, error: undefined });
  useEffect(() => {
    const abort = new AbortController();
    acts(question, abort.signal).then(
      (answer) => { if (!abort.signal.aborted) setTold({ answer, error: undefined }); },
      (error: unknown) => { if (!abort.signal.aborted) setTold({ answer: undefined, error }); },
    );
    return () => { abort.abort(); };
  }, [question]);
  const open = useCallback((act: Act) => {
    actEvents(act).then((found) => { ask(found, "all"); }, (error: unknown) => { setTold({ answer: undefined, error }); });
  }, [ask]);
  const { answer, error } = told;
  if (error !== undefined) {
    return <p role="alert" className="rows-end"><Hostile text={error instanceof Error ? error.message : ""} max={SENTENCE_CHARS_MAX} /></p>;
  }
  if (answer === undefined) return <p className="rows-end">{t.running}</p>;
  const count = (number: number) => number.toLocaleString(lang);
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.time}</th>
            <th scope="col">{t.events}</th>
            <th scope="col">{t.host}</th>
            <th scope="col">{t.sentence}</th>
          </tr>
        </thead>
        <tbody>
          {answer.rows.map((act) => (
            <tr key={act["act.id"]}>
              <td className="time"><Time iso={act["@timestamp"]} now={now} /></td>
              <td className="level-cell">{count(act["act.events"])}</td>
              <td className="host"><Hostile text={act["host.name"] ?? ""} max={80} /></td>
              <td className="sentence">
                <button type="button" className="row-open" title={t.actEvents} onClick={() => { open(act); }}>
                  <Hostile text={act.sentence[lang]} max={SENTENCE_CHARS_MAX} />
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <div className="rows-end">
        <span>{t.actsMade(count(answer.events_read), count(answer.acts_made), count(answer.events_single))}</span>
        {answer.unread?.map((one) => <UnreadLine key={one.store} unread={one} />)}
        {answer.events_cut ? <span>{t.actsEventsCut}</span> : null}
        {answer.cut ? <span>{t.actsCut(count(answer.total), count(answer.rows.length))}</span> : null}
      </div>
    </>
  );
}
