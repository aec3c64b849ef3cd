import type { Lang } from "./i18n";

/** Formatters are dear to make and cheap to keep: one per language, shape and zone. */
const formatters = new Map<string, Intl.DateTimeFormat>();

/**
 * An instant in the zone of the reader: the time alone for today, with the date for any other day.
 * `zone` is for tests; the page uses the reader's own.
 */
export function localTime(iso: string, now: Date, lang: Lang, zone?: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const today = dayOf(at, lang, zone) === dayOf(now, lang, zone);
  const clock = formatter(lang, "clock", zone).format(at);
  return today ? clock : `${dayOf(at, lang, zone)} ${clock}`;
}

/** The same instant in UTC exactly as the server wrote it, for the title. */
export function utcTitle(iso: string): string {
  return `${iso.replace(/(?:\+00:00|Z)$/, "").replace("T", " ")} UTC`;
}

/** The reader's zone as an offset, such as `UTC+9`, so that nobody has to guess what a time means. */
export function zoneOffset(now: Date, zone?: string): string {
  const options: Intl.DateTimeFormatOptions = { timeZoneName: "shortOffset", ...(zone === undefined ? {} : { timeZone: zone }) };
  const parts = new Intl.DateTimeFormat("en", options).formatToParts(now);
  return (parts.find((part) => part.type === "timeZoneName")?.value ?? "").replace("GMT", "UTC").replace(/\+0$/, "");
}

function dayOf(at: Date, lang: Lang, zone?: string): string {
  return formatter(lang, "day", zone).format(at);
}

function formatter(lang: Lang, shape: "clock" | "day", zone?: string): Intl.DateTimeFormat {
  const key = `${lang} ${shape} ${zone ?? ""}`;
  const known = formatters.get(key);
  if (known !== undefined) return known;
  const options: Intl.DateTimeFormatOptions =
    shape === "clock"
      ? { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }
      : { year: "numeric", month: "2-digit", day: "2-digit" };
  // sv-SE and ja-JP both write the year first; an analyst must never guess which of 03/04 is the month.
  const made = new Intl.DateTimeFormat(lang === "ja" ? "ja-JP" : "sv-SE", zone === undefined ? options : { ...options, timeZone: zone });
  formatters.set(key, made);
  return made;
}
