import { describe, expect, it } from "vitest";
import { bytesText, eventsPerRow, ratioText } from "./storage";

describe("figures of storage", () => {
  it.each([
    [0, "0 B"],
    [1023, "1,023 B"],
    [1024, "1.0 KiB"],
    [1_572_864, "1.5 MiB"],
    [104_857_600, "100 MiB"],
    [1024 ** 6, "1,024 PiB"],
    [-1, "0 B"],
  ])("%d bytes read %s", (bytes, text) => {
    expect(bytesText(bytes, "en")).toBe(text);
  });

  it.each([
    [null, "–"],
    [Infinity, "–"],
    [65.4, "1/65"],
    [6.84, "1/6.8"],
    [0.5, "1/0.5"],
  ])("a ratio of %s reads %s", (ratio, text) => {
    expect(ratioText(ratio, "en")).toBe(text);
  });

  it("counts what is read instead of the events", () => {
    expect(eventsPerRow(100, 10, 10)).toBe(5);
    expect(eventsPerRow(0, 0, 0)).toBeNull();
  });
});
