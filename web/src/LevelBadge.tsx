import type { Level } from "./api";
import { useWords, type Catalogue } from "./i18n";

/** The words of levels. */
export const LEVEL_WORD: Readonly<Record<Level, keyof Catalogue>> = {
  informational: "levelInformational",
  low: "levelLow",
  medium: "levelMedium",
  high: "levelHigh",
  critical: "levelCritical",
};
const RISING: readonly Level[] = ["informational", "low", "medium", "high", "critical"];

/** The highest of some levels. */
export function highest(levels: readonly (Level | undefined)[]): Level | undefined {
  return RISING.findLast((level) => levels.includes(level));
}

/** A level by word first, by colour second. */
export function LevelBadge({ level }: { level: Level }) {
  const { t } = useWords();
  return <span className={`level level-${level}`}>{t[LEVEL_WORD[level]] as string}</span>;
}
