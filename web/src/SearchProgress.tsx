import { useEffect, useState } from "react";
import { searchProgress, type SearchProgress as Progress } from "./api";
import { useWords } from "./i18n";
import { PROGRESS_AFTER_MS, PROGRESS_POLL_MS } from "./limits";

/** How far the search with this id is, once it takes long, and a button that ends it. */
export function SearchProgress({ id, cancel }: { id: string; cancel: () => void }) {
  const { lang, t } = useWords();
  const [progress, setProgress] = useState<Progress>();
  useEffect(() => {
    const abort = new AbortController();
    let timer = setTimeout(() => void look(), PROGRESS_AFTER_MS);
    const look = async () => {
      try {
        const answer = await searchProgress(id, abort.signal);
        if (!abort.signal.aborted) setProgress(answer);
      } catch {
        // It has just begun or just ended; the next look tells.
      }
      if (!abort.signal.aborted) timer = setTimeout(() => void look(), PROGRESS_POLL_MS);
    };
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id]);
  if (progress === undefined) return null;
  const count = (number: number) => number.toLocaleString(lang);
  const seconds = count(Math.floor(progress.elapsed_ms / 1_000));
  return (
    <div className="search-progress" role="group" aria-label={t.searchProgress}>
      <progress aria-label={t.searchProgress} max={Math.max(progress.row_groups, 1)} value={progress.row_groups_done} />
      <span>
        {progress.phase === "waiting"
          ? t.searchWaiting(seconds)
          : t.searchSoFar(count(progress.files_done), count(progress.files), count(progress.rows_scanned), count(progress.rows_found), seconds)}
      </span>
      <button type="button" onClick={cancel}>
        {t.searchCancel}
      </button>
    </div>
  );
}
