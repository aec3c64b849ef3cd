import { useState } from "react";
import type { AlertDetail, NewException } from "./api";
import { Hostile } from "./Hostile";
import { useWords } from "./i18n";

const DAYS = 90;
const DAYS_MAX = 3650;

interface Props {
  alert: AlertDetail;
  save: (exception: NewException) => Promise<void>;
  cancel: () => void;
}

/** Asks for an exception from the rule of an alert: about its entity, or about values that made it match. */
export function ExceptionForm({ alert, save, cancel }: Props) {
  const { t } = useWords();
  const [entity, setEntity] = useState(true);
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const [reason, setReason] = useState("");
  const [days, setDays] = useState(String(DAYS));
  const offered = alert.exception_conditions.filter((one) => one.field !== "alert.id");
  const count = Number(days);
  const ready = reason.trim() !== "" && (entity || chosen.size > 0) && Number.isInteger(count) && count >= 1 && count <= DAYS_MAX;

  const submit = () => {
    if (!ready) return;
    const conditions: Record<string, string[]> = {};
    offered.forEach((one, at) => {
      if (chosen.has(at)) conditions[one.field] = [...(conditions[one.field] ?? []), one.value];
    });
    void save({
      rules: [alert["rule.uuid"]],
      alert: alert["alert.id"],
      reason: reason.trim(),
      days: count,
      ...(entity ? { entity: alert.entity } : {}),
      ...(chosen.size > 0 ? { conditions } : {}),
    });
  };

  return (
    <form
      className="exception-form"
      aria-label={t.exceptionTitle}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <h3>{t.exceptionTitle}</h3>
      <p className="note">{t.exceptionExplain}</p>
      <label>
        <input type="checkbox" checked={entity} onChange={() => { setEntity(!entity); }} />
        <Hostile text={t.exceptionEntity(alert.entity.value)} max={200} />
      </label>
      {offered.map((one, at) => (
        <label key={at}>
          <input
            type="checkbox"
            checked={chosen.has(at)}
            onChange={() => {
              const next = new Set(chosen);
              if (!next.delete(at)) next.add(at);
              setChosen(next);
            }}
          />
          <span>
            <code>
              <Hostile text={one.field} max={200} />
            </code>
            {" = "}
            <Hostile text={one.value} max={400} />
          </span>
        </label>
      ))}
      <label className="stacked">
        {t.exceptionReason}
        <input type="text" value={reason} maxLength={1000} onChange={(event) => { setReason(event.target.value); }} />
      </label>
      <label className="stacked">
        {t.exceptionDays}
        <input type="number" min={1} max={DAYS_MAX} value={days} onChange={(event) => { setDays(event.target.value); }} />
      </label>
      <div className="acts">
        <button type="submit" disabled={!ready} title={ready ? undefined : t.exceptionNeeds}>
          {t.exceptionSave}
        </button>
        <button type="button" onClick={cancel}>
          {t.exceptionCancel}
        </button>
      </div>
    </form>
  );
}
