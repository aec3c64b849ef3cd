import { describe, expect, it } from "vitest";
import { errorBody, proofAddress, type Row } from "./api";
import { append, columnsOf, exactly, parseRow, prepend, valueText } from "./rows";

const row = (id: number): Row => ({ "event.id": `s/1/${id}`, "@timestamp": "2026-11-21T19:30:00Z", sentence: { ja: "あ", en: "a" }, fields: {} });
const ids = (rows: Row[]) => rows.map((one) => Number(one["event.id"].slice(4)));

describe("the list", () => {
  it("takes live rows on top, newest first, each once, and holds its limit", () => {
    expect(ids(prepend([row(2), row(1)], [row(3), row(4)]))).toEqual([4, 3, 2, 1]);
    expect(ids(prepend([row(2), row(1)], [row(2), row(3)]))).toEqual([3, 2, 1]);
    expect(ids(prepend([row(2), row(1)], [row(3)], 3))).toEqual([3, 2, 1]);
    expect(ids(prepend([row(2), row(1)], [row(3), row(4)], 3))).toEqual([4, 3, 2]);
  });

  it("takes an older page below, each once", () => {
    expect(ids(append([row(5), row(4)], [row(4), row(3)]))).toEqual([5, 4, 3]);
  });

  it("shows a sentence in the language that is read", () => {
    const act = { "act.kind": "ssh", "sentence.ja": "あ", "sentence.en": "a", n: 1 };
    expect(columnsOf([act], "ja")).toEqual(["act.kind", "sentence.ja", "n"]);
    expect(columnsOf([act], "en")).toEqual(["act.kind", "sentence.en", "n"]);
    expect(columnsOf([{ "sentence.ja": "あ" }, { n: 1 }], "en")).toEqual(["sentence.ja", "n"]);
  });

  it("refuses what is no row", () => {
    for (const data of ["", "null", "[]", "3", "{}", '{"event.id":1}', '{"event.id":"x","@timestamp":"t"}', "{", '{"event.id":"x","@timestamp":"t","sentence":null,"fields":{}}']) {
      expect(parseRow(data), data).toBeUndefined();
    }
    expect(parseRow(JSON.stringify(row(1)))).toEqual(row(1));
  });
});

describe("values", () => {
  it("are text or JSON, and become a search for exactly themselves", () => {
    expect(valueText(null)).toBe("");
    expect(valueText([1, "a"])).toBe('[1,"a"]');
    expect(exactly("event.code", 4625)).toBe("event.code:4625");
    expect(exactly("user.name", 'CORP\\"o"')).toBe('user.name:"CORP\\\\\\"o\\""');
  });
});

describe("addresses and errors", () => {
  it("keep the parts of an event id", () => {
    expect(proofAddress("acme/linux-auth/42/7")).toBe("/api/v1/events/acme/linux-auth/42/7/proof");
    expect(proofAddress("a?b#c/1/2")).toBe("/api/v1/events/a%3Fb%23c/1/2/proof");
  });

  it("believe only a whole error", () => {
    expect(errorBody({ error: { code: "c", message: "m", place: 3 } })).toEqual({ code: "c", message: "m", place: 3 });
    expect(errorBody({ error: { code: "c", message: "m", message_ja: "え", place: null } })).toEqual({ code: "c", message: "m", message_ja: "え" });
    for (const wrong of [undefined, null, "x", [], { error: "x" }, { error: { code: 1, message: "m" } }]) {
      expect(errorBody(wrong)).toBeUndefined();
    }
  });
});
