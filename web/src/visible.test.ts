import { describe, expect, it } from "vitest";
import { clip, visiblePieces, visibleText } from "./visible";

describe("visible characters", () => {
  it.each([
    ["plain text, 日本語, 全角　空白, é and 😀 stay as they are", "plain text, 日本語, 全角　空白, é and 😀 stay as they are"],
    ["\u001b[31mred\u001b[0m", "␛[31mred␛[0m"],
    ["a\u0000b\tc\r\nd\u007f", "a␀b␉c␍␊d␡"],
    ["c1 \u0085 \u009b2J", "c1 ‹U+0085› ‹U+009B›2J"],
    ["invoice\u202egpj.exe", "invoice‹U+202E›gpj.exe"],
    ["\u2066x\u2069\u200e\u200f\u061c", "‹U+2066›x‹U+2069›‹U+200E›‹U+200F›‹U+061C›"],
    ["ad\u200bmin \u200d \u2060 \ufeff \u00ad", "ad‹U+200B›min ‹U+200D› ‹U+2060› ‹U+FEFF› ‹U+00AD›"],
    ["fake\u2028new\u2029line", "fake‹U+2028›new‹U+2029›line"],
    ["tag \u{e0041}\u{e007f}", "tag ‹U+E0041›‹U+E007F›"],
    ["hangul filler \u3164", "hangul filler ‹U+3164›"],
    ["lone \ud800 surrogate \udfff", "lone ‹U+D800› surrogate ‹U+DFFF›"],
    ["", ""],
  ])("shows %j", (input, expected) => {
    expect(visibleText(input)).toBe(expected);
  });

  it("keeps the one variation selector of a Japanese name or an emoji, and shows every other", () => {
    expect(visibleText("葛\u{e0100}城")).toBe("葛\u{e0100}城");
    expect(visibleText("☎\ufe0f")).toBe("☎\ufe0f");
    expect(visibleText("a\ufe0f")).toBe("a‹U+FE0F›");
    expect(visibleText("☎\ufe0f\ufe01")).toBe("☎\ufe0f‹U+FE01›");
    expect(visibleText("\ufe00")).toBe("‹U+FE00›");
  });

  it("loses nothing: the pieces say exactly what the text was", () => {
    const every = Array.from({ length: 0x3100 }, (_, code) => String.fromCodePoint(code)).join("");
    const shown = visiblePieces(every);
    const hidden = shown.filter((piece) => piece.kind === "hidden").length;
    const plain = shown.map((piece) => (piece.kind === "text" ? piece.text : "")).join("");
    expect([...plain].length + hidden).toBe(0x3100);
    expect(plain).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  it("names what it shows", () => {
    expect(visiblePieces("\u202e")).toEqual([{ kind: "hidden", label: "‹U+202E›", name: "U+202E RIGHT-TO-LEFT OVERRIDE" }]);
  });
});

describe("clip", () => {
  it("cuts at the limit and one past it, never inside a character", () => {
    expect(clip("abc", 3)).toEqual({ text: "abc", cut: false });
    expect(clip("abcd", 3)).toEqual({ text: "abc", cut: true });
    expect(clip("ab😀", 3)).toEqual({ text: "ab", cut: true });
    expect(clip("a\ud800\ud800b", 3)).toEqual({ text: "a\ud800\ud800", cut: true });
  });
});
