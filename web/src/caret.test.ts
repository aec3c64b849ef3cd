import { describe, expect, it } from "vitest";
import { caretOf } from "./caret";

describe("the place of a mistake", () => {
  it.each([
    [0, "a)", { line: "a)", at: 0, length: 1 }],
    [9, "田中", { line: "田中", at: 2, length: 1 }],
    ["user:(\n     ^", "", { line: "user:(", at: 5, length: 1 }],
    ["田中 and (x\n         ^^", "", { line: "田中 and (x", at: 7, length: 2 }],
    ["ユーザー名:x\n^^^^^^^^^^", "", { line: "ユーザー名:x", at: 0, length: 5 }],
    ["end\n   ^", "", { line: "end", at: 3, length: 1 }],
  ])("%j", (place, query, caret) => {
    expect(caretOf(place, query)).toEqual(caret);
  });

  it("is left out when it is anything else", () => {
    for (const place of [undefined, null, -1, 1.5, "", "one line", "a\nb", "a\n^\nc", { offset: 1 }]) {
      expect(caretOf(place, "x")).toBeUndefined();
    }
  });
});
