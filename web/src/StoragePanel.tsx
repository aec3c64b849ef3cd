import { useState } from "react";
import { actShare, lakeStats, retention, retentionForecast, type DatasetSize, type Forecast, type Hold, type LakeStats, type RetentionStream } from "./api";
import { Hostile } from "./Hostile";
import { usePolled } from "./hooks";
import { useWords, type Catalogue } from "./i18n";
import { COLUMNS_SHOWN_MAX, SENTENCE_CHARS_MAX, STORAGE_POLL_MS } from "./limits";
import { bytesText, eventsPerRow, ratioText } from "./storage";
import { Time } from "./Time";

/** What is kept, for how long and why, and what it takes. */
export function StoragePanel({ now }: { now: Date }) {
  const { t } = useWords();
  const kept = usePolled(retention, STORAGE_POLL_MS);
  const sizes = usePolled(lakeStats, STORAGE_POLL_MS);
  const forecast = usePolled(retentionForecast, STORAGE_POLL_MS);
  const streams = kept.value?.streams ?? [];
  const datasets = sizes.value?.datasets ?? [];
  if (kept.value !== undefined && sizes.value !== undefined && streams.length === 0 && datasets.length === 0) {
    return (
      <div className="empty">
        <p className="empty-title">{t.storageNone}</p>
        <p>{t.storageNoneHint}</p>
      </div>
    );
  }
  return (
    <div className="storage">
      {forecast.value === undefined ? null : <ForecastLine forecast={forecast.value} />}
      {sizes.value === undefined ? null : <Sizes stats={sizes.value} />}
      {kept.value === undefined ? null : (
        <section aria-label={t.storageStreams}>
          <h3>{t.storageStreams}</h3>
          <p className="quiet">{kept.value.delete ? t.retentionOn : t.retentionOff}</p>
          {kept.value.shortening ? <p className="warn">{t.retentionShortening}</p> : null}
          {kept.value.requests.length === 0 ? null : <p className="warn">{t.retentionWaiting(kept.value.requests.map((one) => one["request.id"]).join(", "))}</p>}
          <ol className="alert-list">
            {streams.map((stream) => (
              <StreamItem key={stream["yagura.stream"]} stream={stream} now={now} />
            ))}
          </ol>
          <Holds holds={kept.value.holds} now={now} />
        </section>
      )}
    </div>
  );
}

function ForecastLine({ forecast }: { forecast: Forecast }) {
  const { lang, t } = useWords();
  const early = forecast.streams.filter((one) => one.full_before_minimum);
  return (
    <section aria-label={t.forecast}>
      <h3>{t.forecast}</h3>
      <p className={forecast.warn || early.length > 0 ? "warn" : undefined}>
        {forecast.full_on === null ? t.forecastRoom : t.forecastFull(forecast.full_on, (forecast.full_in_days ?? 0).toLocaleString(lang))}
      </p>
      {early.map((one) => (
        <p key={one["yagura.stream"]} className="warn">
          {t.forecastEarly(one["yagura.stream"], String(one.minimum_days ?? 0))}
        </p>
      ))}
      <p className="alert-facts">
        {forecast.free === null ? null : <span>{t.forecastFree(bytesText(forecast.free, lang))}</span>}
        <span>{t.forecastGrowth(bytesText(forecast.per_day, lang), bytesText(forecast.busiest_day, lang))}</span>
      </p>
    </section>
  );
}

function Sizes({ stats }: { stats: LakeStats }) {
  const { lang, t } = useWords();
  const [opened, setOpened] = useState<string>();
  const acts = usePolled(actShare, STORAGE_POLL_MS).value;
  const total = stats.total;
  const read = acts === undefined ? null : eventsPerRow(acts.events_read, acts.acts_made, acts.events_single);
  return (
    <section aria-label={t.sizes}>
      <h3>{t.sizes}</h3>
      <p>{t.sizesTotal(bytesText(total.received, lang), bytesText(total.stored, lang), ratioText(total.ratio, lang))}</p>
      {(total["files.cold"] ?? 0) === 0 ? null : <p>{t.sizesCold(bytesText(total["stored.cold"] ?? 0, lang), (total["files.cold"] ?? 0).toLocaleString(lang))}</p>}
      <p className="quiet">
        {t.sizesCompression(ratioText(total.ratio, lang))} {read === null || acts === undefined ? t.sizesActsNone : t.sizesActs(acts.events_read.toLocaleString(lang), (acts.acts_made + acts.events_single).toLocaleString(lang))}
      </p>
      <div className="scroll">
        <table className="groups">
          <thead>
            <tr>
              {[t.dataset, t.eventCount, t.bytesReceived, t.stored, t.textIndex, t.ratio].map((word) => (
                <th key={word} scope="col">
                  {word}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {stats.datasets.map((one) => (
              <DatasetRow key={one["event.dataset"]} one={one} opened={opened === one["event.dataset"]} toggle={() => { setOpened((name) => (name === one["event.dataset"] ? undefined : one["event.dataset"])); }} />
            ))}
          </tbody>
        </table>
      </div>
      {opened === undefined ? null : <Columns stats={stats} dataset={opened} />}
    </section>
  );
}

function DatasetRow({ one, opened, toggle }: { one: DatasetSize; opened: boolean; toggle: () => void }) {
  const { lang } = useWords();
  const number = (value: string) => <td className="number">{value}</td>;
  return (
    <tr>
      <td>
        <button type="button" className="link" aria-expanded={opened} onClick={toggle}>
          <Hostile text={one["event.dataset"]} max={200} />
        </button>
      </td>
      {number(one.events.toLocaleString(lang))}
      {number(bytesText(one.received, lang))}
      {number(bytesText(one.stored, lang))}
      {number(bytesText(one.text_index, lang))}
      {number(ratioText(one.ratio, lang))}
    </tr>
  );
}

function Columns({ stats, dataset }: { stats: LakeStats; dataset: string }) {
  const { lang, t } = useWords();
  const columns = stats.columns.filter((column) => column["event.dataset"] === dataset);
  return (
    <div className="scroll">
      <table className="groups">
        <caption>{t.columnsOf(dataset)}</caption>
        <thead>
          <tr>
            {[t.column, t.stored, t.encoded, t.share].map((word) => (
              <th key={word} scope="col">
                {word}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {columns.slice(0, COLUMNS_SHOWN_MAX).map((column) => (
            <tr key={column.column}>
              <td>
                <Hostile text={column.column} max={200} />
              </td>
              <td className="number">{bytesText(column.stored, lang)}</td>
              <td className="number">{bytesText(column.encoded, lang)}</td>
              <td className="number">{`${(column.share ?? 0).toLocaleString(lang)}%`}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {columns.length > COLUMNS_SHOWN_MAX ? <p className="quiet">{t.columnsMore((columns.length - COLUMNS_SHOWN_MAX).toLocaleString(lang))}</p> : null}
    </div>
  );
}

function deletionText(stream: RetentionStream, t: Catalogue): string | undefined {
  if (stream.deletion === "never") return t.deletesNever;
  if (stream.deletion === "off") return t.deletesOff;
  return stream.deletion === "due" ? t.deletesDue : undefined;
}

function StreamItem({ stream, now }: { stream: RetentionStream; now: Date }) {
  const { lang, t } = useWords();
  const policy = stream.policy;
  const why = [policy?.["authority.name"]?.[lang], policy?.["kind.name"]?.[lang], policy?.reason].filter((text) => text !== undefined && text !== "");
  const days = (count: number | null, word: (days: string) => string) => (count === null ? null : <span>{word(count.toLocaleString(lang))}</span>);
  const goes = deletionText(stream, t);
  return (
    <li className={stream.shortening ? "alert alert-medium" : "alert"}>
      <h3>
        <span className="rule">
          <Hostile text={stream["yagura.stream"]} max={200} />
        </span>
        <span className="count">{bytesText(stream.stored, lang)}</span>
      </h3>
      <p>{why.length === 0 ? t.policyNone : <Hostile text={why.join(" / ")} max={SENTENCE_CHARS_MAX} />}</p>
      <p className="alert-facts">
        <span>{t.eventsKept(stream.events.toLocaleString(lang))}</span>
        {stream.kept_since === null ? null : (
          <span>
            {t.keptSince} <Time iso={stream.kept_since} now={now} />
          </span>
        )}
        {days(stream.minimum_days, t.daysMinimum)}
        {days(stream.maximum_days, t.daysMaximum)}
        {days(stream.immediate_days, t.daysImmediate)}
        <span>{goes ?? (stream.deletes_next === null ? "" : <>{t.deletesNext} <Time iso={stream.deletes_next} now={now} /></>)}</span>
        {stream.holds.length === 0 ? null : <span>{t.heldBy(stream.holds.join(", "))}</span>}
      </p>
    </li>
  );
}

function Holds({ holds, now }: { holds: readonly Hold[]; now: Date }) {
  const { t } = useWords();
  return (
    <>
      <h3>{t.holds}</h3>
      {holds.length === 0 ? <p className="quiet">{t.holdsNone}</p> : null}
      <ol className="alert-list">
        {holds.map((hold) => (
          <li key={hold["hold.id"]} className="alert">
            <h3>
              <span className="rule">
                {hold["hold.id"]} <Hostile text={hold["hold.name"]} max={200} />
              </span>
              <span className="count">
                <Time iso={hold["@timestamp"]} now={now} />
              </span>
            </h3>
            <p>
              <Hostile text={hold.reason} max={SENTENCE_CHARS_MAX} />
            </p>
            <p className="alert-facts">
              <span>
                <Hostile text={hold["user.name"]} max={100} />
              </span>
              {hold.case === "" ? null : (
                <span>
                  <Hostile text={hold.case} max={100} />
                </span>
              )}
              <span>
                <Hostile text={[...hold.streams, ...hold.hosts].join(", ")} max={400} />
              </span>
            </p>
          </li>
        ))}
      </ol>
    </>
  );
}
