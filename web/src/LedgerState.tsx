import type { LedgerAnswer, LogState } from "./api";
import { useWords } from "./i18n";
import { Time } from "./Time";
import { localTime } from "./time";

/** How far the ledger is sealed and when it was last verified; the hashes unfold below. */
export function LedgerState({ answer, now }: { answer: LedgerAnswer | undefined; now: Date }) {
  const { lang, t } = useWords();
  if (answer === undefined) return <div className="ledger unknown">{t.ledgerUnknown}</div>;
  const { events, verified } = answer;
  const sealed = events.checkpoint_time === null || events.size === 0
    ? t.ledgerEmpty
    : t.ledgerSealed((events.batches_sealed ?? events.size).toLocaleString(lang), localTime(events.checkpoint_time, now, lang));
  return (
    <details className="ledger">
      <summary title={t.ledger}>
        <span>{sealed}</span>
        <Verified verified={verified} now={now} />
      </summary>
      <div className="ledger-more">
        <Log name={t.ledgerEvents} log={events} now={now} />
        <Log name={t.ledgerAudit} log={answer.audit} now={now} />
        <p>{t.ledgerHowToVerify}</p>
      </div>
    </details>
  );
}

function Verified({ verified, now }: { verified: LedgerAnswer["verified"]; now: Date }) {
  const { lang, t } = useWords();
  if (verified === null) return <span className="verified none">{t.ledgerNotVerified}</span>;
  const time = localTime(verified.at, now, lang);
  return verified.ok ? (
    <span className="verified ok">✓ {t.ledgerVerified(time)}</span>
  ) : (
    <span className="verified failed">✗ {t.ledgerFailed(time, verified.findings.toLocaleString(lang))}</span>
  );
}

function Log({ name, log, now }: { name: string; log: LogState; now: Date }) {
  const { lang, t } = useWords();
  return (
    <section>
      <h2>{name}</h2>
      <dl>
        <dt>{t.ledgerOrigin}</dt>
        <dd>{log.origin}</dd>
        <dt>{t.ledgerSize}</dt>
        <dd>
          {log.size.toLocaleString(lang)}
          {log.checkpoint_time === null ? null : (
            <>
              {" "}
              (<Time iso={log.checkpoint_time} now={now} />)
            </>
          )}
        </dd>
        {log.records === undefined ? null : (
          <>
            <dt>{t.ledgerRecords}</dt>
            <dd>{log.records.toLocaleString(lang)}</dd>
          </>
        )}
        <dt>{t.ledgerRoot}</dt>
        <dd className="mono">{log.root}</dd>
      </dl>
    </section>
  );
}
