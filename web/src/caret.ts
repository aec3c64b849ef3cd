/** A line of the query and where in it the mistake is, in characters. */
export interface Caret {
  line: string;
  at: number;
  length: number;
}

/**
 * The place of a mistake, as the API tells it: an offset in characters into `query`, or two lines, the
 * second with carets under the first as a terminal would show them (wide characters take two columns).
 */
export function caretOf(place: unknown, query: string): Caret | undefined {
  if (typeof place === "number" && Number.isInteger(place) && place >= 0) {
    return { line: query, at: Math.min(place, [...query].length), length: 1 };
  }
  const lines = typeof place === "string" ? /^([^\n]*)\n( *)(\^+)$/.exec(place) : null;
  if (lines === null) return undefined;
  const [, line = "", indent = "", carets = ""] = lines;
  const at = charactersIn(line, indent.length);
  return { line, at, length: Math.max(1, charactersIn(line, indent.length + carets.length) - at) };
}

/** How many characters of `line` fit into so many columns. */
function charactersIn(line: string, columns: number): number {
  let left = columns;
  let characters = 0;
  for (const character of line) {
    left -= WIDE.test(character) ? 2 : 1;
    if (left < 0) break;
    characters += 1;
  }
  return characters;
}

/** The characters that terminals draw two columns wide, near enough to place a caret. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
