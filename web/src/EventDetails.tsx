import { Fragment, useEffect, useRef, useState } from "react";
import { proofAddress, type Range, type Row } from "./api";
import { Hostile } from "./Hostile";
import { useWords } from "./i18n";
import { VALUE_CHARS_MAX } from "./limits";
import { exactly, valueText } from "./rows";
import { Time } from "./Time";

/** Characters of a field's name shown in the details. */
const NAME_CHARS_MAX = 200;

interface Props {
  row: Row;
  now: Date;
  close: () => void;
  ask: (query: string, range: Range) => void;
}

/** Everything known about one event, beside the list and never instead of it. */
export function EventDetails({ row, now, close, ask }: Props) {
  const { lang, t } = useWords();
  const heading = useRef<HTMLHeadingElement>(null);
  const id = row["event.id"];
  const cutNote = t.valueCut(VALUE_CHARS_MAX.toLocaleString(lang));
  useEffect(() => {
    heading.current?.focus();
  }, []);

  return (
    <aside className="details" role="dialog" aria-label={t.details}>
      <div className="panel-head">
        <h2 ref={heading} tabIndex={-1}>
          {t.details}
        </h2>
        <button type="button" onClick={close} title="Esc">
          {t.close}
        </button>
      </div>
      <div className="details-body">
        <p className="details-sentence">
          <Hostile text={row.sentence[lang]} max={VALUE_CHARS_MAX} />
        </p>
        <p className="details-when">
          <Time iso={row["@timestamp"]} now={now} />
          {row["event.ingested"] === undefined ? null : (
            <>
              {" · "}
              {t.received} <Time iso={row["event.ingested"]} now={now} />
            </>
          )}
        </p>
        <EventId id={id} />
        <h3>{t.fields}</h3>
        <table className="fields">
          <thead className="sr-only">
            <tr>
              <th scope="col">{t.field}</th>
              <th scope="col">{t.value}</th>
            </tr>
          </thead>
          <tbody>
            {inReadingOrder(Object.entries(row.fields)).map(([name, value]) => (
              <tr key={name}>
                <th scope="row">
                  <FieldName name={name} />
                </th>
                <td>
                  <Hostile text={valueText(value)} max={VALUE_CHARS_MAX} lines cutNote={cutNote} />
                  <button
                    type="button"
                    className="only-this"
                    title={t.onlyThis}
                    aria-label={`${t.onlyThis}: ${name}`}
                    onClick={() => {
                      ask(exactly(name, value), "all");
                    }}
                  >
                    ⌕
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {row["event.original"] === undefined ? null : (
          <>
            <h3>{t.raw}</h3>
            <p className="note">{t.rawBytesNote}</p>
            <pre className="raw">
              <Hostile text={row["event.original"]} max={VALUE_CHARS_MAX} lines cutNote={cutNote} />
            </pre>
          </>
        )}
      </div>
    </aside>
  );
}

/** Who, where and what come first; what only one product calls so follows, then how the event came here. */
function inReadingOrder<T>(fields: [string, T][]): [string, T][] {
  const rank = (name: string) => (name.startsWith("yagura.") ? 2 : /^(?:winlog|agent|ecs|log)\./.test(name) ? 1 : 0);
  return fields.toSorted(([a], [b]) => rank(a) - rank(b));
}

/** A field's name, which breaks after a dot rather than within a word. */
function FieldName({ name }: { name: string }) {
  if (name.length > NAME_CHARS_MAX) return <Hostile text={name} max={NAME_CHARS_MAX} />;
  return name.split(/(?<=\.)/).map((part, index) => (
    <Fragment key={index}>
      <Hostile text={part} max={NAME_CHARS_MAX} />
      <wbr />
    </Fragment>
  ));
}

function EventId({ id }: { id: string }) {
  const { t } = useWords();
  const text = useRef<HTMLElement>(null);
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(id);
      setSaid(t.copied);
    } catch {
      // No clipboard over plain HTTP to another machine: leave the id selected for the reader.
      if (text.current !== null) document.getSelection()?.selectAllChildren(text.current);
      setSaid(t.copyByHand);
    }
  };
  return (
    <div className="event-id">
      <span>{t.eventId}</span>
      <code ref={text}>{id}</code>
      <button type="button" onClick={() => void copy()}>
        {t.copyId}
      </button>
      <a href={proofAddress(id)} download title={t.proofHint}>
        {t.proof}
      </a>
      <span role="status">{said}</span>
    </div>
  );
}
