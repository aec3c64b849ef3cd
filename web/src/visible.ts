/**
 * Makes characters visible that would otherwise hide, move or forge text: control characters,
 * bidirectional overrides, zero-width and other default-ignorable characters, line separators and
 * lone surrogates. Everything an attacker writes into a log passes here before it is shown.
 */

/** A stretch of plain text, or one character that has to be shown by name. */
export type Piece = { kind: "text"; text: string } | { kind: "hidden"; label: string; name: string };

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const VARIATION_SELECTOR = /^[\uFE00-\uFE0F\u{E0100}-\u{E01EF}]$/u;

const NAMES: Readonly<Record<number, string>> = {
  0x00: "NULL", 0x07: "BELL", 0x08: "BACKSPACE", 0x09: "TAB", 0x0a: "LINE FEED", 0x0d: "CARRIAGE RETURN", 0x1b: "ESCAPE",
  0x7f: "DELETE", 0x85: "NEXT LINE", 0x9b: "CONTROL SEQUENCE INTRODUCER", 0xad: "SOFT HYPHEN",
  0x061c: "ARABIC LETTER MARK", 0x200b: "ZERO WIDTH SPACE", 0x200c: "ZERO WIDTH NON-JOINER",
  0x200d: "ZERO WIDTH JOINER", 0x200e: "LEFT-TO-RIGHT MARK", 0x200f: "RIGHT-TO-LEFT MARK",
  0x2028: "LINE SEPARATOR", 0x2029: "PARAGRAPH SEPARATOR", 0x202a: "LEFT-TO-RIGHT EMBEDDING",
  0x202b: "RIGHT-TO-LEFT EMBEDDING", 0x202c: "POP DIRECTIONAL FORMATTING", 0x202d: "LEFT-TO-RIGHT OVERRIDE",
  0x202e: "RIGHT-TO-LEFT OVERRIDE", 0x2060: "WORD JOINER", 0x2066: "LEFT-TO-RIGHT ISOLATE",
  0x2067: "RIGHT-TO-LEFT ISOLATE", 0x2068: "FIRST STRONG ISOLATE", 0x2069: "POP DIRECTIONAL ISOLATE",
  0xfeff: "ZERO WIDTH NO-BREAK SPACE",
};

/** Cuts `text` into plain stretches and named characters. The plain stretches hide nothing. */
export function visiblePieces(text: string): Piece[] {
  const pieces: Piece[] = [];
  let plainFrom = 0;
  for (const match of text.matchAll(HIDDEN)) {
    const at = match.index;
    if (VARIATION_SELECTOR.test(match[0]) && followsVisibleGlyph(text, at, plainFrom)) continue;
    if (at > plainFrom) pieces.push({ kind: "text", text: text.slice(plainFrom, at) });
    pieces.push(named(match[0]));
    plainFrom = at + match[0].length;
  }
  if (plainFrom < text.length) pieces.push({ kind: "text", text: text.slice(plainFrom) });
  return pieces;
}

/** The same as one string, for titles and labels. */
export function visibleText(text: string): string {
  return visiblePieces(text).map((piece) => (piece.kind === "text" ? piece.text : piece.label)).join("");
}

/** Cuts at `max` characters without splitting a surrogate pair; says whether anything was left out. */
export function clip(text: string, max: number): { text: string; cut: boolean } {
  if (text.length <= max) return { text, cut: false };
  const splitsPair = /[\uD800-\uDBFF]/.test(text.charAt(max - 1)) && /[\uDC00-\uDFFF]/.test(text.charAt(max));
  return { text: text.slice(0, splitsPair ? max - 1 : max), cut: true };
}

/**
 * One variation selector after an ideograph or an emoji chooses its shape (many Japanese names need
 * it). After ASCII, or after another selector, it can only smuggle data.
 */
function followsVisibleGlyph(text: string, at: number, plainFrom: number): boolean {
  if (at <= plainFrom) return false;
  const before = [...text.slice(Math.max(plainFrom, at - 2), at)].at(-1) ?? "";
  return before > "\u00ff" && !VARIATION_SELECTOR.test(before);
}

function named(character: string): Piece {
  const code = character.codePointAt(0) ?? 0;
  const point = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const name = NAMES[code];
  return { kind: "hidden", label: picture(code) ?? `‹${point}›`, name: name === undefined ? point : `${point} ${name}` };
}

/** Control characters below space have a glyph of their own in Unicode's "Control Pictures". */
function picture(code: number): string | undefined {
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "\u2421" : undefined;
}
