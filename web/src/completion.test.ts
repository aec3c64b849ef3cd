import { describe, expect, it } from "vitest";
import type { Completions, Offer } from "./api";
import { charactersBefore, isWorthShowing, moved, taken } from "./completion";

function offer(insert: string, kind: Offer["kind"] = "field"): Offer {
  return { kind, text: insert, insert };
}

function answer(typed: string, offers: Offer[], start = 0, end = 0): Completions {
  return { start, end, typed, offers, partial: false };
}

describe("completion", () => {
  it("counts characters, not halves of them", () => {
    expect(charactersBefore("𠮷野 us", 6)).toBe(5);
    expect(charactersBefore("abc", 9)).toBe(3);
  });

  it("puts an offer in the place of what is typed, whatever the widths", () => {
    expect(taken("𠮷野 us and x", answer("us", [], 3, 5), offer("user.name:"))).toEqual({ text: "𠮷野 user.name: and x", at: 14 });
    expect(taken("a | ", answer("", [], 4, 4), offer("stats ", "command"))).toEqual({ text: "a | stats ", at: 10 });
  });

  it("opens by itself only where that helps", () => {
    const fields = [offer("user.name:"), offer("user.id:")];
    expect(isWorthShowing(answer("", fields), false)).toBe(false);
    expect(isWorthShowing(answer("", fields), true)).toBe(true);
    expect(isWorthShowing(answer("us", fields), false)).toBe(true);
    expect(isWorthShowing(answer("", [offer("sato", "value"), offer("田中", "value")]), false)).toBe(true);
    expect(isWorthShowing(answer("sato", [offer("sato", "value")]), false)).toBe(false);
    expect(isWorthShowing(answer("stats", [offer("stats ", "command")]), true)).toBe(false);
    expect(isWorthShowing(answer("zzz", []), true)).toBe(false);
  });

  it("goes through the offers and through none of them, in a circle", () => {
    const list = answer("us", [offer("a"), offer("b")]);
    const walk = (by: 1 | -1) => {
      let selected = -1;
      return [1, 2, 3, 4].map(() => (selected = moved({ answer: list, selected }, by)));
    };
    expect(walk(1)).toEqual([0, 1, -1, 0]);
    expect(walk(-1)).toEqual([1, 0, -1, 1]);
  });
});
