import { useWords } from "./i18n";
import { localTime, utcTitle } from "./time";
import { useZone } from "./zone";

/** An instant in the zone of the question, or else the reader's; its title says it in UTC. */
export function Time({ iso, now }: { iso: string; now: Date }) {
  const { lang } = useWords();
  const zone = useZone();
  return (
    <time dateTime={iso} title={utcTitle(iso)}>
      {localTime(iso, now, lang, zone)}
    </time>
  );
}
