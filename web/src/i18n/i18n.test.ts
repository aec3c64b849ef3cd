import { describe, expect, it } from "vitest";
import { en } from "./en";
import { initialLang } from "./index";
import { ja } from "./ja";

describe("catalogues", () => {
  it("have the same keys in the same order", () => {
    expect(Object.keys(ja)).toEqual(Object.keys(en));
  });

  it("have words for every key, and no blank is forgotten", () => {
    for (const words of [en, ja]) {
      for (const [key, word] of Object.entries(words)) {
        if (typeof word === "string") {
          expect(word.trim(), key).not.toBe("");
        } else {
          const blanks = ["⟦1⟧", "⟦2⟧", "⟦3⟧", "⟦4⟧"].slice(0, word.length);
          const filled = Reflect.apply(word, undefined, blanks) as string;
          for (const blank of blanks) expect(filled, key).toContain(blank);
        }
      }
    }
  });

  it("are really translated", () => {
    const same = Object.keys(en).filter((key) => en[key as keyof typeof en] === ja[key as keyof typeof en]);
    expect(same).toEqual([]);
  });
});

describe("initial language", () => {
  it.each([
    ["en", ["ja-JP"], "en"],
    ["ja", ["en-US"], "ja"],
    [null, ["ja-JP", "en"], "ja"],
    [null, ["fr", "EN-gb"], "en"],
    [null, ["fr"], "en"],
    ["xx", [], "en"],
  ] as const)("stored %s, browser %j: %s", (stored, browser, expected) => {
    expect(initialLang(stored, browser)).toBe(expected);
  });
});
