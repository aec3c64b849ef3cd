import type { Range, StatusAnswer } from "./api";
import { useWords } from "./i18n";

interface Props {
  searched: boolean;
  /** Nothing was ever kept, so it is not the period that is too short. */
  storeEmpty: boolean;
  range: Range;
  ask: (query: string, range: Range) => void;
  listeners: StatusAnswer["listeners"];
}

/** An empty list says what to do next. */
export function EmptyState({ searched, storeEmpty, range, ask, listeners }: Props) {
  const { t } = useWords();
  const syslog = listeners.find((listener) => listener.kind === "syslog-tcp")?.address;
  const [host, port] = splitAddress(syslog ?? "127.0.0.1:<port>");
  return (
    <div className="empty">
      <p className="empty-title">{searched ? t.emptySearchTitle : storeEmpty || range === "all" ? t.emptyStoreTitle : t.emptyRangeTitle}</p>
      {searched ? (
        <p>
          {t.emptySearchHint}{" "}
          <button type="button" onClick={() => { ask("", range); }}>
            {t.clearSearch}
          </button>
        </p>
      ) : (
        <>
          <p>{t.emptyStoreSend}</p>
          <pre>{`logger -n ${host} -P ${port} -T 'hello from my machine'`}</pre>
          <p>{t.emptyStoreImport}</p>
          <pre>{`yagura import --server ${location.origin} Security.evtx`}</pre>
        </>
      )}
      {range === "all" || storeEmpty ? null : (
        <p>
          <button type="button" onClick={() => { ask("", "all"); }}>
            {t.searchAllTime}
          </button>
        </p>
      )}
    </div>
  );
}

function splitAddress(address: string): [string, string] {
  const colon = address.lastIndexOf(":");
  return [address.slice(0, colon).replace(/^\[|\]$/g, ""), address.slice(colon + 1)];
}
