import { describe, expect, it } from "vitest";
import { addressOf, columnsOf, COLUMNS_MAX, isLive, plain, questionOf, rangeOf, type Question } from "./question";

describe("a question", () => {
  it("comes back from its address as it was", () => {
    const fixed: Question = {
      query: "user.name:田中 | stats count() as n & more", from: "2026-11-20T12:00:00Z", to: undefined, asOf: "2026-11-21T12:00:00Z",
      zone: "Asia/Tokyo", columns: ["user.name", "source.ip"], sort: "oldest", last: undefined,
    };
    expect(questionOf(addressOf(fixed).slice(1))).toEqual(fixed);
    for (const range of ["15m", "24h", "all"] as const) {
      const back = questionOf(addressOf(plain("x", range)).slice(1));
      expect([back.query, rangeOf(back), isLive(back)]).toEqual(["x", range, true]);
    }
    const other = questionOf("?last=3h");
    expect([other.last, rangeOf(other)]).toEqual(["3h", undefined]);
    expect(rangeOf(questionOf(""))).toBe("24h");
  });

  it("takes nothing from an address that would break the page", () => {
    expect(questionOf("?time_zone=Mars/Olympus&sort=sideways&columns=%2C%2C&from=%20")).toEqual({
      query: "", last: "24h", from: undefined, to: undefined, asOf: undefined, zone: undefined, columns: [], sort: "newest",
    });
    const many = Array.from({ length: COLUMNS_MAX + 1 }, (_, at) => `c${at}`);
    expect(columnsOf(many.slice(1).join(","))).toHaveLength(COLUMNS_MAX);
    expect(columnsOf(many.join("、"))).toEqual(many.slice(0, COLUMNS_MAX));
    expect(columnsOf("a, b  a")).toEqual(["a", "b"]);
  });

  it("is live only where what arrives belongs at its top", () => {
    const question = plain("", "24h");
    expect(isLive({ ...question, to: "now-1h" })).toBe(false);
    expect(isLive({ ...question, asOf: "2026-11-21T12:00:00Z" })).toBe(false);
    expect(isLive({ ...question, sort: "oldest" })).toBe(false);
    expect(isLive({ ...question, last: undefined, from: "2026-11-21" })).toBe(true);
  });
});
