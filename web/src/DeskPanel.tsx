import { useState } from "react";
import { exceptions as askExceptions, gaps as askGaps, removeException, ruleQuality, type Exception, type Gap, type Range, type RuleQuality } from "./api";
import { AlertPanel, ENTITIES, failureText, wordFor, type Alerts } from "./AlertPanel";
import { Hostile } from "./Hostile";
import { usePolled } from "./hooks";
import { useWords, type Catalogue } from "./i18n";
import { LevelBadge } from "./LevelBadge";
import { LEDGER_POLL_MS, SENTENCE_CHARS_MAX } from "./limits";
import type { Question } from "./question";
import { RiskList } from "./RiskList";
import { SavedPanel } from "./SavedPanel";
import { StoragePanel } from "./StoragePanel";
import { Time } from "./Time";

type View = "alerts" | "risk" | "gaps" | "rules" | "exceptions" | "saved" | "storage";
const KINDS: ReadonlyMap<string, keyof Catalogue> = new Map([
  ["rule_refused", "gapRuleRefused"],
  ["rule_disabled", "gapRuleDisabled"],
  ["engine_behind", "gapEngineBehind"],
  ["source_silent", "gapSourceSilent"],
  ["source_drifted", "gapSourceDrifted"],
  ["field_missing", "gapFieldMissing"],
  ["findings_lost", "gapFindingsLost"],
  ["correlation_limit", "gapCorrelationLimit"],
  ["forward_behind", "gapForwardBehind"],
  ["stopped", "gapStopped"],
  ["disk_fills", "gapDiskFills"],
  ["device_overwrites", "gapDeviceOverwrites"],
]);
const STATES: ReadonlyMap<string, keyof Catalogue> = new Map([
  ["in_force", "exceptionInForce"],
  ["expired", "exceptionExpired"],
  ["removed", "exceptionGone"],
]);

interface Props {
  now: Date;
  ask: (query: string, range: Range) => void;
  askAll: (question: Question) => void;
  openAlert: (id: string) => void;
  alerts: Alerts;
}

/** The desk: alerts, and what surrounds them. */
export function DeskPanel({ now, ask, askAll, openAlert, alerts }: Props) {
  const { lang, t } = useWords();
  const [view, setView] = useState<View>("alerts");
  const gaps = usePolled(askGaps, LEDGER_POLL_MS);
  const open = gaps.value?.open ?? 0;
  const views: readonly { view: View; word: string }[] = [
    { view: "alerts", word: t.alerts },
    { view: "risk", word: t.risk },
    { view: "gaps", word: open === 0 ? t.gaps : t.gapsOpen(open.toLocaleString(lang)) },
    { view: "rules", word: t.rules },
    { view: "exceptions", word: t.exceptions },
    { view: "saved", word: t.savedSearches },
    { view: "storage", word: t.storage },
  ];
  return (
    <div className="panel alerts">
      <div className="panel-head views" role="group" aria-label={t.views}>
        {views.map((one) => (
          <button key={one.view} type="button" aria-pressed={one.view === view} onClick={() => { setView(one.view); }}>
            {one.word}
          </button>
        ))}
      </div>
      {view === "alerts" ? <AlertPanel now={now} ask={ask} openAlert={openAlert} alerts={alerts} /> : null}
      {view === "risk" ? <RiskList now={now} openAlert={openAlert} /> : null}
      {view === "gaps" ? <GapList gaps={gaps.value?.gaps} now={now} /> : null}
      {view === "rules" ? <RuleList /> : null}
      {view === "exceptions" ? <ExceptionList now={now} /> : null}
      {view === "saved" ? <SavedPanel now={now} askAll={askAll} /> : null}
      {view === "storage" ? <StoragePanel now={now} /> : null}
    </div>
  );
}

function Empty({ title, hint }: { title: string; hint: string }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      <p>{hint}</p>
    </div>
  );
}

function GapList({ gaps, now }: { gaps: readonly Gap[] | undefined; now: Date }) {
  const words = useWords();
  const { lang, t } = words;
  if (gaps?.length === 0) return <Empty title={t.gapsNone} hint={t.gapsNoneHint} />;
  return (
    <ol className="alert-list">
      {gaps?.map((gap) => (
        <li key={gap["gap.id"]} className={gap["gap.end"] === undefined ? "alert alert-high" : "alert"}>
          <h3>
            <span className="rule">{wordFor(KINDS, gap["gap.kind"], words)}</span>
            <span className="count">
              <Time iso={gap["gap.begin"]} now={now} /> – {gap["gap.end"] === undefined ? t.gapOpen : <Time iso={gap["gap.end"]} now={now} />}
            </span>
          </h3>
          <p>
            <Hostile text={lang === "ja" ? gap["gap.sentence_ja"] : gap["gap.sentence_en"]} max={SENTENCE_CHARS_MAX} />
          </p>
        </li>
      ))}
    </ol>
  );
}

function RuleList() {
  const { lang, t } = useWords();
  const { value } = usePolled(ruleQuality, LEDGER_POLL_MS);
  const percent = (share: number | null) => Math.round((share ?? 0) * 100).toLocaleString(lang);
  if (value?.rules.length === 0) return <Empty title={t.rulesNone} hint={t.rulesNoneHint} />;
  return (
    <ol className="alert-list">
      {value?.rules.map((rule: RuleQuality) => (
        <li key={rule["rule.uuid"]} className={rule["rule.noise"] === undefined ? "alert" : "alert alert-medium"}>
          <h3>
            <LevelBadge level={rule["rule.level"]} />
            <span className="rule">
              <Hostile text={(lang === "ja" ? rule["rule.name_ja"] : undefined) ?? rule["rule.name"]} max={200} />
            </span>
          </h3>
          <p className="alert-facts">
            <span>
              {rule["rule.precision"] === null
                ? t.precisionUnknown
                : t.precision(percent(rule["rule.precision"]), percent(rule["rule.precision_low"]), percent(rule["rule.precision_high"]), rule["rule.judged"].toLocaleString(lang))}
            </span>
            <span>{t.ruleVolume(rule["rule.alerts"].toLocaleString(lang), rule["rule.alerts_7d"].toLocaleString(lang))}</span>
            {rule["rule.suppressed"] === 0 ? null : <span>{t.exceptionCount(rule["rule.suppressed"].toLocaleString(lang))}</span>}
          </p>
          {rule["rule.noise"] === undefined ? null : (
            <p>
              <Hostile text={lang === "ja" ? rule["rule.noise"].sentence_ja : rule["rule.noise"].sentence_en} max={SENTENCE_CHARS_MAX} />
            </p>
          )}
        </li>
      ))}
    </ol>
  );
}

function ExceptionList({ now }: { now: Date }) {
  const words = useWords();
  const { lang, t } = words;
  const { value, refresh } = usePolled(askExceptions, LEDGER_POLL_MS);
  const [said, setSaid] = useState("");
  const remove = async (id: string) => {
    try {
      await removeException(id);
      setSaid(t.exceptionRemoved(id));
    } catch (error) {
      setSaid(failureText(error, words));
    }
    refresh();
  };
  return (
    <>
      <div className="done" role="status">
        {said === "" ? null : <span>{said}</span>}
      </div>
      {value?.exceptions.length === 0 ? <Empty title={t.exceptionsNone} hint={t.exceptionsNoneHint} /> : null}
      <ol className="alert-list">
        {value?.exceptions.map((one: Exception) => {
          const entity = one["exception.entity"];
          const id = one["exception.id"];
          return (
            <li key={id} className="alert">
              <h3>
                <span className="rule">
                  {id} <Hostile text={one["exception.reason"]} max={400} />
                </span>
                <span className="count">{t.exceptionCount(one["exception.suppressed"].toLocaleString(lang))}</span>
              </h3>
              <p className="alert-facts">
                <span>{wordFor(STATES, one["exception.state"], words)}</span>
                <span>
                  <Hostile text={one["user.name"]} max={100} />
                </span>
                <span>{one["exception.expires"] === undefined ? t.exceptionForever : <Time iso={one["exception.expires"]} now={now} />}</span>
                {entity === undefined ? null : (
                  <span>
                    {wordFor(ENTITIES, entity.kind, words)} <Hostile text={entity.value} max={200} />
                  </span>
                )}
                {one["exception.conditions"] === undefined ? null : (
                  <code>
                    <Hostile text={JSON.stringify(one["exception.conditions"])} max={400} />
                  </code>
                )}
              </p>
              {one["exception.state"] === "in_force" ? (
                <div className="acts">
                  <button type="button" onClick={() => void remove(id)}>
                    {t.exceptionRemove}
                  </button>
                </div>
              ) : null}
            </li>
          );
        })}
      </ol>
    </>
  );
}
