import { risk as askRisk, type EntityRisk } from "./api";
import { ENTITIES, PHASES, wordFor } from "./AlertPanel";
import { Hostile } from "./Hostile";
import { usePolled } from "./hooks";
import { useWords } from "./i18n";
import { LEDGER_POLL_MS } from "./limits";
import { Time } from "./Time";

interface Props {
  now: Date;
  openAlert: (id: string) => void;
}

/** Hosts, users and addresses by what their alerts add up to. */
export function RiskList({ now, openAlert }: Props) {
  const { t } = useWords();
  const { value } = usePolled(askRisk, LEDGER_POLL_MS);
  if (value?.entities.length === 0) {
    return (
      <div className="empty">
        <p className="empty-title">{t.riskNone}</p>
        <p>{t.riskNoneHint}</p>
      </div>
    );
  }
  return (
    <ol className="alert-list">
      {value?.entities.map((one) => (
        <li key={`${one["risk.entity"].kind} ${one["risk.entity"].value}`} className="alert">
          <RiskRow risk={one} now={now} openAlert={openAlert} />
        </li>
      ))}
    </ol>
  );
}

/** One entity: its score, what each phase adds, and the alerts behind it. */
export function RiskRow({ risk, now, openAlert }: Props & { risk: EntityRisk }) {
  const words = useWords();
  const { lang, t } = words;
  const chain = risk["risk.chain"];
  return (
    <>
      <h3>
        <span className="score">{Math.round(risk["risk.score"]).toLocaleString(lang)}</span>
        <span className="rule">
          {wordFor(ENTITIES, risk["risk.entity"].kind, words)} <Hostile text={risk["risk.entity"].value} max={200} />
        </span>
        {chain === undefined ? null : (
          <button type="button" className="chain" onClick={() => { openAlert(chain); }}>
            {t.riskChain}
          </button>
        )}
      </h3>
      <p className="alert-facts">
        {risk["risk.phases"].map((one) => (
          <span key={one.phase ?? ""}>
            <Hostile text={one.phase === null ? t.phaseUnknown : wordFor(PHASES, one.phase, words)} max={80} /> {Math.round(one.score)}{" "}
            {one.alerts.slice(0, 3).map((id) => (
              <button key={id} type="button" className="link" onClick={() => { openAlert(id); }}>
                {id}
              </button>
            ))}
          </span>
        ))}
        <span>{t.riskAlerts(risk["risk.alerts"].toLocaleString(lang))}</span>
        <Time iso={risk["risk.last_seen"]} now={now} />
      </p>
    </>
  );
}
