import { useWords } from "./i18n";
import { localTime, utcTitle } from "./time";

/** An instant in the reader's zone; its title says it in UTC. */
export function Time({ iso, now }: { iso: string; now: Date }) {
  const { lang } = useWords();
  return (
    <time dateTime={iso} title={utcTitle(iso)}>
      {localTime(iso, now, lang)}
    </time>
  );
}
