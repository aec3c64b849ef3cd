import type { Unread } from "./api";
import { Hostile } from "./Hostile";
import { useWords } from "./i18n";
import { UNREAD_CHARS_MAX } from "./limits";

/** What an answer lacks because a store did not give it. */
export function UnreadLine({ unread }: { unread: Unread }) {
  const { lang, t } = useWords();
  const reason = lang === "ja" ? unread.reason_ja : unread.reason;
  const said = t.unread(unread.files.toLocaleString(lang), unread.rows.toLocaleString(lang), reason);
  return <span role="alert"><Hostile text={said} max={UNREAD_CHARS_MAX} /></span>;
}
