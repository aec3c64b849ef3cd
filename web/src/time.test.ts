import { describe, expect, it } from "vitest";
import { localTime, utcTitle, zoneOffset } from "./time";

const NOW = new Date("2026-11-21T20:00:00Z");

describe("times", () => {
  it("are shown in the reader's zone, with the date when it is another day there", () => {
    expect(localTime("2026-11-21T19:30:01.250Z", NOW, "en", "UTC")).toBe("19:30:01");
    expect(localTime("2026-11-21T19:30:01.250Z", NOW, "ja", "Asia/Tokyo")).toBe("04:30:01");
    expect(localTime("2026-11-21T14:59:59Z", NOW, "ja", "Asia/Tokyo")).toBe("2026/11/21 23:59:59");
    expect(localTime("1970-01-01T00:00:00Z", NOW, "en", "UTC")).toBe("1970-01-01 00:00:00");
  });

  it("come with the offset of their zone", () => {
    expect(["Asia/Tokyo", "UTC", "America/New_York", "Asia/Kolkata"].map((zone) => zoneOffset(NOW, zone))).toEqual(["UTC+9", "UTC", "UTC-5", "UTC+5:30"]);
  });

  it("say the UTC value exactly, and show what is no time as it came", () => {
    expect(utcTitle("2026-11-21T19:30:01.250123Z")).toBe("2026-11-21 19:30:01.250123 UTC");
    expect(localTime("not a time", NOW, "en", "UTC")).toBe("not a time");
  });
});
