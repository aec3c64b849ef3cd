/** Figures of storage as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `1.5 MiB`; whole bytes below a KiB. */
export function bytesText(bytes: number, lang: string): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${UNITS[unit] ?? "B"}`;
}

/** `1/65`: stored to received; a dash where nothing is stored. */
export function ratioText(ratio: number | null, lang: string): string {
  if (ratio === null || !Number.isFinite(ratio)) return "–";
  const digits = ratio >= 10 ? 0 : 1;
  return `1/${ratio.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** Events for one act, as a person reads them; nothing where there is nothing to read. */
export function eventsPerRow(events: number, acts: number, single: number): number | null {
  const rows = acts + single;
  return rows === 0 ? null : events / rows;
}
