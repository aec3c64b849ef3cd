import { mkdirSync } from "node:fs";
import type { Browser } from "playwright-core";
import AxePath from "axe-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Alert, Row } from "../src/api";
import { launch, open, searchBox, shot } from "./browser";
import { FORGING_LINES, XSS_LINES } from "./hostile";
import { Mock } from "./mock";

let browser: Browser;
let mock: Mock;

beforeAll(async () => {
  if (process.env["YAGURA_SHOTS"] !== undefined) mkdirSync(process.env["YAGURA_SHOTS"], { recursive: true });
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});
beforeEach(async () => {
  mock = new Mock();
  await mock.start();
  return async () => {
    for (const context of browser.contexts()) await context.close();
    await mock.stop();
  };
});

let serial = 0;
function event(en: string, ja: string, extra: Partial<Row> = {}): Row {
  serial += 1;
  const at = new Date(Date.now() - 60_000 + serial * 5).toISOString();
  return {
    "event.id": `syslog/${Math.floor(serial / 100)}/${serial % 100}`, "@timestamp": at, "event.ingested": at, "event.dataset": "linux.auth", "host.name": "fs01",
    sentence: { en, ja }, fields: { "event.action": "login", "user.name": "tanaka", "source.ip": "10.1.2.3", "source.port": 51022 },
    "event.original": `<38>Nov 21 19:30:00 fs01 sshd[311]: ${en}`, ...extra,
  };
}
function alert(id: string, level: Alert["rule.level"], name: string, name_ja: string, en: string, ja: string, phase?: string): Alert {
  const at = new Date().toISOString();
  return {
    "alert.id": id, "alert.state": "new", "rule.uuid": `uuid-${id}`, "rule.name": name, "rule.name_ja": name_ja, "rule.level": level,
    entity: { kind: "host", value: "FS01" }, first_seen: at, last_seen: at, count: 3, "event.ids": ["syslog/0/1"], sentence: { en, ja },
    ...(phase === undefined ? {} : { phase }),
  };
}
function ordinaryDay(): void {
  for (let hour = 0; hour < 6; hour += 1) {
    mock.send(event("tanaka logged on to FS01 over the network from 10.1.2.3 (success)", "田中 が 10.1.2.3 から FS01 にネットワークログオンした（成功）"));
    mock.send(event("sato ran sudo /usr/bin/systemctl restart nginx as root on web02", "佐藤 が web02 で root として /usr/bin/systemctl restart nginx を実行した", { "host.name": "web02" }));
    mock.send(event("VPN login of suzuki from 203.0.113.7 failed: wrong password", "鈴木 の 203.0.113.7 からの VPN ログインが失敗した（パスワード誤り）", { "host.name": "vpn-gw.hospital.example" }));
    mock.send(event("10.1.4.9 fetched GET /karte/index.html from intra01: 200, 18,231 bytes", "10.1.4.9 が intra01 の /karte/index.html を取得した（200、18,231 バイト）", { "host.name": "intra01" }));
  }
  mock.send(event("vssadmin.exe deleted all shadow copies on FS01, run by CORP\\svc-backup", "CORP\\svc-backup が FS01 で vssadmin.exe によりシャドウコピーをすべて削除した", { alerts: [{ "rule.level": "critical" }], "host.name": "FS01" }));
  mock.send(event("The Security log of FS01 was cleared by CORP\\svc-backup", "CORP\\svc-backup が FS01 のセキュリティログを消去した", { alerts: [{ "rule.level": "high" }], "host.name": "FS01" }));
  mock.alerts = [
    alert("a1", "critical", "Shadow copies deleted", "シャドウコピーの削除", "svc-backup deleted all shadow copies on FS01", "svc-backup が FS01 のシャドウコピーをすべて削除した", "objective-anti-forensics"),
    alert("a2", "high", "Event log cleared", "イベントログの消去", "svc-backup cleared the Security log of FS01", "svc-backup が FS01 のセキュリティログを消去した", "objective-anti-forensics"),
    alert("a3", "medium", "Many failed VPN logins, then one success", "VPN ログインの連続失敗後の成功", "suzuki logged in to the VPN from 203.0.113.7", "鈴木 が 203.0.113.7 から VPN にログインした", "initial-access"),
  ];
  mock.verified = { at: new Date().toISOString(), ok: true, findings: 0 };
}

/** What the server knows around the alerts of an ordinary day. */
function desk(): void {
  const at = new Date(Date.now() - 3_600_000).toISOString();
  const first = mock.alerts[0];
  if (first !== undefined) {
    first.precedent = {
      verdicts: { true_positive: 0, false_positive: 14, benign: 0, duplicate: 0 },
      last: { "@timestamp": at, "user.name": "sato", "alert.verdict": "false_positive", "alert.note": "backup" },
    };
  }
  const risk = {
    "risk.entity": { kind: "host", value: "FS01" }, "risk.score": 300, "risk.alerts": 3, "risk.last_seen": at, "risk.chain": "a2",
    "risk.phases": [
      { phase: "initial-access", score: 20, alerts: ["a3"] }, { phase: "privilege-lateral", score: 20, alerts: ["a2"] }, { phase: "objective-anti-forensics", score: 20, alerts: ["a1"] },
    ],
  };
  mock.risk = [risk];
  mock.details = {
    a1: {
      explanation: {
        looks_for: { ja: "シャドウコピーを削除するコマンドを探します。", en: "A command that deletes shadow copies." },
        held: [
          { field: "process.command_line", label: { ja: "コマンドライン", en: "Command line" }, value: "vssadmin delete shadows /all", predicate: "contains delete shadows", because: { ja: "「delete shadows」を含む", en: "contains “delete shadows”" } },
        ],
        check: [{ ja: "被害の範囲をすぐに確認する。", en: "Find out at once what was deleted." }],
        falsepositives: [{ ja: "バックアップ製品", en: "Backup products" }],
        references: ["https://attack.mitre.org/techniques/T1490/"],
      },
      exception_conditions: [{ field: "process.command_line", value: "vssadmin delete shadows /all" }],
      risk: [risk],
      "alert.hours": { [new Date(Date.now() - 7_200_000).toISOString()]: 2, [at]: 9 },
      "alert.history": [{ "@timestamp": at, "user.name": "sato", "alert.act": "commented", "alert.note": "looking" }],
    },
  };
  mock.gaps = [
    { "gap.id": "G-000001", "gap.kind": "source_silent", "gap.subject": "syslog", "gap.begin": at, "gap.sentence_ja": "ストリーム syslog が途絶えています。", "gap.sentence_en": "The stream syslog has been silent for more than 20 minutes." },
    { "gap.id": "G-000002", "gap.kind": "stopped", "gap.subject": "yagura", "gap.begin": at, "gap.end": at, "gap.sentence_ja": "動いていませんでした。", "gap.sentence_en": "Yagura was not running." },
  ];
  mock.rules = [
    {
      "rule.uuid": "u1", "rule.name": "Shadow copies deleted", "rule.name_ja": "シャドウコピーの削除", "rule.level": "critical", "rule.alerts": 9, "rule.alerts_7d": 4, "rule.suppressed": 2,
      "rule.judged": 8, "rule.precision": 0.125, "rule.precision_low": 0.0224, "rule.precision_high": 0.4709,
      "rule.noise": { sentence_ja: "無害なものの大半は BK01 です。", sentence_en: "Only 1 of 8 judged alerts were a threat. Most of the harmless ones are about BK01: consider an exception for it." },
    },
  ];
}

describe("the page", () => {
  it("says what to do when the store is empty, in the language of the browser, and remembers another choice", async () => {
    const { page } = await open(browser, mock.origin, { locale: "ja-JP" });
    await page.getByText("ログはまだ届いていません").waitFor();
    await page.getByText("logger -n 127.0.0.1 -P 5514 -T").waitFor();
    await page.getByText("封印済みのバッチはまだありません").waitFor();
    await shot(page, "empty-ja-light");
    await page.getByRole("button", { name: "English" }).click();
    await page.getByText("No logs yet").waitFor();
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    await page.reload();
    await page.getByText("No logs yet").waitFor();
  });

  it("shows sentences as they come, stands still when paused, opens the details and goes back", async () => {
    ordinaryDay();
    const { page, errors, violations, foreign } = await open(browser, mock.origin);
    await page.getByText("vssadmin.exe deleted all shadow copies").waitFor();
    mock.send(event("yamada logged on to FS02", "山田 が FS02 にログオンした"));
    await page.getByText("yamada logged on to FS02").waitFor();
    expect(await page.locator("tbody tr").first().textContent()).toContain("yamada");
    const named = mock.rows[1];
    mock.alerts[0]?.["event.ids"].push(named?.["event.id"] ?? "");
    await page.locator("tbody tr").nth(1).getByText("critical").waitFor();

    await page.keyboard.press("p");
    mock.send(event("kato logged on to FS03", "加藤 が FS03 にログオンした"));
    await page.getByRole("button", { name: "Resume (1 new)" }).click();
    await page.getByText("kato logged on to FS03").waitFor();

    await page.keyboard.press("Escape");
    await page.getByText("yamada logged on to FS02").click();
    const details = page.getByRole("dialog");
    await details.getByRole("row", { name: "source.ip" }).getByText("10.1.2.3").waitFor();
    await details.getByText("<38>Nov 21 19:30:00 fs01 sshd[311]: yamada").waitFor();
    const proof = await details.getByRole("link").getAttribute("href");
    expect(proof).toMatch(/^\/api\/v1\/events\/syslog\/\d+\/\d+\/proof$/);
    expect(await page.locator(".details time").first().getAttribute("title")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC$/);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await details.getByRole("button", { name: "Copy id" }).click();
    await details.getByText("Copied").waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await details.locator("code").textContent());
    await shot(page, "details-en-light");
    await page.keyboard.press("Escape");
    expect(await details.count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toContain("yamada logged on to FS02");
    expect({ errors, violations, foreign }).toEqual({ errors: [], violations: [], foreign: [] });
  });

  it("searches in Japanese, marks the place of a mistake, pages on, and keeps the question in the address", async () => {
    ordinaryDay();
    for (let count = 0; count < 130; count += 1) mock.rows.push(event(`backup ${count} done`, `バックアップ ${count} 完了`));
    const { page } = await open(browser, mock.origin, { locale: "ja-JP" });
    const box = searchBox(page);
    await box.fill("シャドウコピー");
    await box.press("Enter");
    await page.getByText("1 件（3 ミリ秒）").waitFor();
    expect(new URL(page.url()).searchParams.get("query")).toBe("シャドウコピー");
    expect(await page.evaluate(() => document.activeElement?.getAttribute("type"))).toBe("search");

    await box.fill("田中 and (user.name:x");
    await box.press("Enter");
    await page.getByText("この「(」が閉じられていません").waitFor();
    const [caret, character] = await page.evaluate(() => {
      const pre = document.querySelector(".error pre");
      const text = pre?.firstChild;
      const range = document.createRange();
      if (!(text instanceof Text)) return [0, 1];
      range.setStart(text, 7);
      range.setEnd(text, 8);
      return [document.querySelector(".caret")?.getBoundingClientRect().left ?? 0, range.getBoundingClientRect().left];
    });
    expect(caret).toBeCloseTo(character, 0);
    await shot(page, "error-ja-light");

    await box.fill("* | stats count() as n by user.name");
    await box.press("Enter");
    await page.getByText("2 行（3 ミリ秒）").waitFor();
    expect(await page.locator("tbody tr:visible").allTextContents()).toEqual(["<b>tanaka</b>12", "佐藤‹U+202E›7"]);
    await shot(page, "groups-ja-light");

    await box.fill("バックアップ");
    await box.press("Enter");
    await page.getByText("100 件で打ち切りました").waitFor();
    await page.getByRole("button", { name: "続きを読み込む" }).click();
    await page.getByText("130 件（3 ミリ秒）").waitFor();
    await page.reload();
    await page.getByText("100 件で打ち切りました").waitFor();
    expect(await box.inputValue()).toBe("バックアップ");
  });

  it("shows how far a long search is, and ends it when asked", async () => {
    ordinaryDay();
    const { page } = await open(browser, mock.origin);
    await page.locator("tbody tr").first().waitFor();
    const box = searchBox(page);
    await box.fill("endless");
    await box.press("Enter");
    const progress = page.getByRole("group", { name: "Progress of the search" });
    await progress.getByText("2 of 7 files, 1,441,792 events read, 12 rows found, 3 s").waitFor();
    expect(await progress.getByRole("progressbar").getAttribute("value")).toBe("11");
    await progress.getByRole("button", { name: "Cancel" }).click();
    await page.locator(".error").getByText("the search was cancelled").waitFor();
    expect(await progress.count()).toBe(0);
    expect(mock.held.size).toBe(0);
    // Another question ends the one before by leaving it.
    await box.press("Enter");
    await expect.poll(() => mock.held.size).toBe(1);
    const left = [...mock.held.values()][0];
    await box.fill("tanaka");
    await box.press("Enter");
    await page.locator("tbody tr").first().waitFor();
    await expect.poll(() => left?.destroyed === true || left?.closed === true).toBe(true);
  });

  it("offers what may stand at the cursor, and takes it by keyboard", async () => {
    ordinaryDay();
    const { page, dialogs, errors, violations } = await open(browser, mock.origin);
    await page.locator("tbody tr").first().waitFor();
    const box = searchBox(page);
    const offers = page.getByRole("option").filter({ visible: true }).and(page.locator(".offers li"));
    const active = () => box.evaluate((input) => document.getElementById(input.getAttribute("aria-activedescendant") ?? "")?.textContent);
    await box.pressSequentially("not us");
    await expect.poll(() => offers.allTextContents()).toEqual(["user.nameUser nameword", "user.idUser IDword"]);
    expect(await box.getAttribute("aria-expanded")).toBe("true");
    await box.press("ArrowDown");
    expect(await active()).toContain("user.name");
    await shot(page, "offers-en-light");
    await box.press("Enter");
    expect(await box.inputValue()).toBe("not user.name:");
    expect(new URL(page.url()).searchParams.get("query")).toBeNull();
    // A value follows, and what an attacker wrote is text with its hidden characters named.
    await expect.poll(() => offers.allTextContents()).toEqual(["tanaka1,204 events", "<b>佐藤</b>‹U+202E›7 events"]);
    expect(await page.locator(".offers p").textContent()).toContain("there may be other values");
    await box.press("ArrowUp");
    await box.press("Tab");
    expect(await box.inputValue()).toBe("not user.name:<b>佐藤</b>\u202e");
    expect(await box.evaluate((input) => input === document.activeElement)).toBe(true);
    // Escape closes the list alone; Enter with nothing selected searches.
    await box.fill("user");
    await offers.first().waitFor();
    await box.press("Escape");
    expect(await offers.count()).toBe(0);
    expect(await box.inputValue()).toBe("user");
    await box.press("ArrowDown");
    await offers.first().waitFor();
    await box.press("Enter");
    await expect.poll(() => new URL(page.url()).searchParams.get("query")).toBe("user");
    expect(await offers.count()).toBe(0);
    expect(await box.getAttribute("aria-expanded")).toBe("false");
    expect({ dialogs, errors, violations }).toEqual({ dialogs: [], errors: [], violations: [] });
  });

  it("leaves the Enter that confirms kanji to the input method", async () => {
    ordinaryDay();
    const { page } = await open(browser, mock.origin);
    const box = searchBox(page);
    await box.fill("zzz");
    const prevented = await box.evaluate((input) => {
      const confirm = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, isComposing: true });
      input.dispatchEvent(confirm);
      return confirm.defaultPrevented;
    });
    expect(prevented).toBe(true);
    await box.press("Enter");
    await page.getByText("Nothing matches").waitFor();
  });

  it("acknowledges, closes with a verdict, undoes and filters alerts, each request marked against forgery", async () => {
    ordinaryDay();
    const { page } = await open(browser, mock.origin);
    const panel = page.getByRole("region", { name: "Alerts" });
    await panel.getByText("3 of 3").waitFor();
    const first = panel.getByRole("listitem").filter({ hasText: "Shadow copies deleted" });
    await first.getByRole("button", { name: "Acknowledge" }).click();
    await panel.getByText("Acknowledged: Shadow copies deleted").waitFor();
    await panel.getByText("2 of 2").waitFor();
    await panel.getByRole("button", { name: "Undo" }).click();
    await panel.getByText("3 of 3").waitFor();
    const third = panel.getByRole("listitem").filter({ hasText: "Many failed VPN logins" });
    await third.getByRole("button", { name: "Close as…" }).click();
    await third.getByRole("button", { name: "Benign" }).click();
    await panel.getByText("2 of 2").waitFor();
    await panel.getByRole("button", { name: "Closed", exact: true }).click();
    await panel.getByText("Closed: Benign").waitFor();
    expect(mock.posts).toEqual([
      { path: "/api/v1/alerts/a1/acknowledge", marked: true, body: {} },
      { path: "/api/v1/alerts/a1/reopen", marked: true, body: {} },
      { path: "/api/v1/alerts/a3/close", marked: true, body: { verdict: "benign" } },
    ]);
    await panel.getByRole("button", { name: "New", exact: true }).click();
    mock.alerts.unshift(alert("a4", "low", "New service installed", "サービスの新規登録", "A service was installed on FS01", "FS01 にサービスが登録された"));
    await panel.getByText("New service installed", { exact: true }).waitFor();
    await panel.getByText("New alert: New service installed").waitFor();
  });

  it("explains an alert, shows precedent and risk, makes an exception and takes it back", async () => {
    ordinaryDay();
    desk();
    const { page, errors, violations } = await open(browser, mock.origin);
    const panel = page.getByRole("region", { name: "Alerts" });
    const first = panel.getByRole("listitem").filter({ hasText: "Shadow copies deleted" });
    await first.getByText("Same rule, same entity: False positive ×14 · last by sato").waitFor();
    await first.getByRole("button", { name: "Why" }).click();
    const details = page.getByRole("dialog", { name: "Alert details" });
    await details.getByText("What the rule looks for").waitFor();
    await details.getByRole("row", { name: "Command line" }).getByText("contains “delete shadows”").waitFor();
    await details.getByText("Find out at once what was deleted").waitFor();
    await shot(page, "alert-en-light");
    await details.getByRole("button", { name: "Make an exception…" }).click();
    const form = details.getByRole("form", { name: "Exception from this rule" });
    expect(await form.getByRole("button", { name: "Add the exception" }).isDisabled()).toBe(true);
    await form.getByLabel("Reason (needed)").fill("nightly backup");
    await form.getByRole("checkbox").nth(1).check();
    await form.getByLabel("Ends after days").fill("30");
    await shot(page, "alert-en-light-exception");
    await form.getByRole("button", { name: "Add the exception" }).click();
    await details.getByText("Exception X-000001 added").waitFor();
    await details.getByRole("button", { name: "Undo" }).click();
    await expect.poll(() => mock.exceptions[0]?.["exception.state"]).toBe("removed");
    expect(mock.posts.map((post) => [post.path, post.marked])).toEqual([["/api/v1/exceptions", true], ["/api/v1/exceptions/X-000001/remove", true]]);
    expect(mock.posts[0]?.body).toEqual({
      rules: ["uuid-a1"], alert: "a1", reason: "nightly backup", days: 30, entity: { kind: "host", value: "FS01" },
      conditions: { "process.command_line": ["vssadmin delete shadows /all"] },
    });
    await details.getByRole("button", { name: "False positive" }).click();
    await details.getByText("Closed: Shadow copies deleted").waitFor();
    await page.keyboard.press("Escape");
    expect(await details.count()).toBe(0);
    expect({ errors, violations }).toEqual({ errors: [], violations: [] });
  });

  it("lists risk, gaps, rules and exceptions, and says what to do where there are none", async () => {
    const { page } = await open(browser, mock.origin);
    for (const [view, empty] of [["Risk", "Nobody stands out"], ["Gaps", "No detection gaps"], ["Rules", "No rule has raised an alert yet"], ["Exceptions", "No exceptions"]] as const) {
      await page.getByRole("button", { name: view, exact: true }).click();
      await page.getByText(empty, { exact: true }).waitFor();
    }
    ordinaryDay();
    desk();
    await page.getByRole("button", { name: "Gaps (1 open)" }).click();
    await page.getByText("The stream syslog has been silent").waitFor();
    await shot(page, "gaps-en-light");
    await page.getByRole("button", { name: "Rules", exact: true }).click();
    await page.getByText("13% precise (2–47%, 8 judged)").waitFor();
    await page.getByText("Most of the harmless ones are about BK01").waitFor();
    await shot(page, "rules-en-light");
    await page.getByRole("button", { name: "Risk", exact: true }).click();
    await page.getByText("300", { exact: true }).waitFor();
    await shot(page, "risk-en-light");
    await page.getByRole("button", { name: "attack chain" }).click();
    await page.getByRole("dialog", { name: "Alert details" }).getByText("Event log cleared").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "日本語" }).click();
    await page.getByRole("button", { name: "リスク" }).click();
    await page.getByText("目的実行・痕跡消去").waitFor();
    await shot(page, "risk-ja-light");
  });

  it("says what is kept, for how long and why, and what it takes, in both languages", async () => {
    const { page, errors, violations } = await open(browser, mock.origin);
    await page.getByRole("button", { name: "Storage", exact: true }).click();
    await page.getByText("Nothing is stored yet").waitFor();
    const size = { "event.dataset": "linux.auth", events: 96_110, received: 11_555_000, stored: 1_690_000, text_index: 210_000, ratio: 6.8 };
    mock.sizes = {
      datasets: [size], total: { ...size, "event.dataset": "" },
      columns: [{ "event.dataset": "linux.auth", column: "event.original<b>", stored: 900_000, encoded: 11_900_000, share: 53.3 }],
    };
    const at = "2026-03-02T09:00:00.000000Z";
    mock.kept = {
      delete: true, shortening: true, requests: [{ "request.id": "R-000004" }],
      streams: [
        {
          "yagura.stream": "pos/till", events: 4_210_882, batches: 90, stored: 1_690_000, kept_since: at, minimum_days: 365, maximum_days: 400, immediate_days: 92, shortening: true, deletion: "later", deletes_next: "2027-04-06T09:00:00.000000Z", holds: ["H-000001"],
          policy: { "authority.name": { en: "PCI DSS 10.5.1", ja: "PCI DSS 10.5.1" }, "kind.name": { en: "data retention", ja: "データ保存の定め" }, reason: "cards<img>" },
        },
        { "yagura.stream": "syslog", events: 10, batches: 1, stored: 900, kept_since: at, minimum_days: null, maximum_days: null, immediate_days: null, shortening: false, deletion: "never", deletes_next: null, holds: [], policy: null },
      ],
      holds: [{ "@timestamp": at, "hold.id": "H-000001", "hold.name": "matter 7", reason: "counsel asked", case: "C-000012", streams: ["pos/*"], hosts: ["web01"], "user.name": "sato" }],
    };
    mock.forecast = { free: 5e9, per_day: 1e8, busiest_day: 2e8, full_in_days: 50, full_on: "2027-01-10", warn: true, streams: [{ "yagura.stream": "pos/till", minimum_days: 365, full_before_minimum: true }] };
    await page.reload();
    await page.getByRole("button", { name: "Storage", exact: true }).click();
    await page.getByText("11.0 MiB received, 1.6 MiB stored (1/6.8)").waitFor();
    await page.getByText("900 events of the last day read as 180 lines").waitFor();
    await page.getByText("the disk is full on 2027-01-10, in 50 days").waitFor();
    await page.getByText("pos/till must be kept for 365 days, and the disk is full before that.").waitFor();
    await page.getByText("PCI DSS 10.5.1 / data retention / cards<img>").waitFor();
    await page.getByText("No policy: kept for ever").waitFor();
    await page.getByText("held by H-000001").waitFor();
    await page.getByText("Waiting for a second person: R-000004").waitFor();
    const dataset = page.getByRole("button", { name: "linux.auth" });
    await dataset.click();
    await page.getByText("event.original<b>").waitFor();
    expect(await dataset.getAttribute("aria-expanded")).toBe("true");
    await shot(page, "storage-en-light");
    await page.getByRole("button", { name: "日本語" }).click();
    await page.getByRole("button", { name: "保管", exact: true }).click();
    await page.getByText("PCI DSS 10.5.1 / データ保存の定め / cards<img>").waitFor();
    await page.getByText("2027-01-10（あと 50 日）でディスクが満杯になります").waitFor();
    await page.getByText("保全中：H-000001").waitFor();
    await shot(page, "storage-ja-light");
    expect({ errors, violations }).toEqual({ errors: [], violations: [] });
  });

  it("says when the server is gone and comes back by itself, missing nothing", async () => {
    ordinaryDay();
    const { page } = await open(browser, mock.origin);
    await page.getByText("The Security log of FS01 was cleared by").waitFor();
    await mock.stop();
    await page.getByText("The server does not answer.").waitFor();
    await shot(page, "gone-en-light");
    mock.rows.unshift(event("ito logged on while nobody looked", "伊藤 がログオンした"));
    await mock.start();
    await page.getByText("ito logged on while nobody looked").waitFor();
    await page.getByText("The server does not answer.").waitFor({ state: "detached" });
  });

  it("keeps up with a flood, shows the newest and holds its list", async () => {
    const { page } = await open(browser, mock.origin);
    await page.getByText("No logs yet").waitFor();
    for (let burst = 0; burst < 20; burst += 1) {
      for (let count = 0; count < 1_000; count += 1) mock.send(event(`flood ${burst * 1_000 + count}`, "洪水"));
      await new Promise((next) => setImmediate(next));
    }
    await page.getByText("flood 19999", { exact: true }).waitFor();
    expect(await page.locator("tbody tr").count()).toBe(500);
    expect(await page.locator("tbody tr").first().textContent()).toContain("flood 19999");
    await page.getByText("The list keeps the newest 500 rows").waitFor();
    await page.getByRole("button", { name: "日本語" }).click();
    await page.getByText("一覧に残るのは最新の 500 件です").waitFor();
  });

  it("shows hostile text as text, in every place it can reach", async () => {
    const lines = [...XSS_LINES, ...FORGING_LINES];
    const { page, dialogs, violations, errors, foreign } = await open(browser, mock.origin, {}, "/?last=all");
    await page.getByText("No logs yet").waitFor();
    for (const line of lines) mock.send(event(line, line, { "host.name": line, fields: { [line]: line, other: { deep: line } }, "event.original": line }));
    mock.alerts = lines.slice(0, 40).map((line, at) => ({ ...alert(`h${at}`, "high", line, line, line, line, line), entity: { kind: "host", value: line } }));
    await page.getByText("=cmd|' /C calc'!A0").first().waitFor();
    await expect.poll(() => page.locator("tbody tr").count()).toBe(lines.length);
    await page.getByText("40 of 40").waitFor();
    const shown = await page.locator(".rows").textContent();
    expect(shown).not.toMatch(/[\p{Cc}\u200b\u202e\u2066\ufeff]/u);
    expect(shown).toContain("invoice‹U+202E›gpj.exe");
    expect(shown).toContain(`<img src=x onerror="alert(1)">`);
    for (const index of [0, 5, 10, 13, 20, 60, 120]) {
      await page.locator(".row-open").nth(index).click();
      await page.getByRole("dialog").waitFor();
      await page.keyboard.press("Escape");
    }
    await shot(page, "hostile-en-light");
    await page.getByRole("button", { name: "日本語" }).click();
    expect(await page.evaluate(() => document.querySelectorAll("#root script, #root img, #root iframe, #root svg, #root object, #root style").length)).toBe(0);
    expect(await page.evaluate(() => "__pwned" in window)).toBe(false);
    expect({ dialogs, violations, errors, foreign }).toEqual({ dialogs: [], violations: [], errors: [], foreign: [] });
  });

  it.each([
    ["en", "light", 1440], ["ja", "dark", 1440], ["ja", "light", 400], ["en", "dark", 400],
  ] as const)("can be used by everyone: %s %s %d wide", async (lang, colorScheme, width) => {
    ordinaryDay();
    desk();
    const { page } = await open(browser, mock.origin, { locale: lang, colorScheme, viewport: { width, height: 860 }, bypassCSP: true });
    await page.locator(".alert").first().waitFor();
    await page.locator("tbody tr").first().waitFor();
    await shot(page, `page-${lang}-${colorScheme}-${width}`);
    await page.locator(".row-open").first().click();
    await shot(page, `page-${lang}-${colorScheme}-${width}-details`);
    await page.evaluate(AxePath.source);
    for (const what of ["details", "page", "offers", "alert"]) {
      if (what === "offers") {
        await searchBox(page).pressSequentially("us");
        await page.locator(".offers li").first().waitFor();
        await searchBox(page).press("ArrowDown");
        await shot(page, `offers-${lang}-${colorScheme}-${width}`);
      }
      if (what === "alert") {
        await page.locator("button[id='alert a1']").click();
        await page.locator(".details .verdict").first().waitFor();
        await page.locator(".details button[aria-expanded]").click();
        await shot(page, `alert-${lang}-${colorScheme}-${width}`);
      }
      const found = await page.evaluate(async () => {
        const answer = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
        return answer.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
      });
      expect(found, what).toEqual([]);
      await page.keyboard.press("Escape");
    }
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
  });
});

declare global {
  interface Window {
    axe: typeof AxePath;
  }
}
