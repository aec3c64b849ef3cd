import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AlertsAnswer, SearchAnswer } from "../src/api";
import { line, Yagura } from "./binary";
import { launch, open, searchBox, shot, type Watch } from "./browser";
import { FORGING_LINES, XSS_LINES } from "./hostile";

const BINARY = process.env["YAGURA_BIN"];
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; " +
  "object-src 'none'; frame-ancestors 'none'; form-action 'self'";

let browser: Browser;
let yagura: Yagura;

const SOUND = { dialogs: [], violations: [], errors: [], foreign: [] };
const noted = ({ dialogs, violations, errors, foreign }: Watch) => ({ dialogs, violations, errors, foreign });

describe("the page of the real server", () => {
  beforeAll(async () => {
    if (BINARY === undefined) throw new Error("set YAGURA_BIN to the yagura binary that is to be tested");
    yagura = await Yagura.start(BINARY);
    browser = await launch();
  });
  afterAll(async () => {
    await browser.close();
    expect(await yagura.stop()).toBe(0);
  });

  it("is guarded by its headers on every kind of answer", async () => {
    for (const [path, kind] of [["/", "text/html"], ["/api/v1/status", "application/json"], ["/nowhere", "application/json"], ["/assets/nothing.js", "application/json"]] as const) {
      const answer = await fetch(yagura.origin + path, { headers: { Accept: "text/html" } });
      expect(answer.headers.get("content-security-policy"), path).toBe(CSP);
      expect(answer.headers.get("x-content-type-options"), path).toBe("nosniff");
      expect(answer.headers.get("referrer-policy"), path).toBe("no-referrer");
      expect(answer.headers.get("content-type"), path).toContain(kind);
    }
  });

  it("shows a line sent over TCP, finds it in Japanese, raises an alert and takes a decision", async () => {
    const watch = await open(browser, yagura.origin);
    const { page } = watch;
    await page.getByText("No logs yet").waitFor();
    await yagura.syslog([
      line("web01", "sshd", "Accepted publickey for tanaka from 10.1.2.3 port 51022 ssh2: ED25519 SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"),
      line("web01", "sshd", "Accepted password for root from 203.0.113.9 port 40022 ssh2"),
      line("web01", "sudo", "  tanaka : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tee -a /root/.ssh/authorized_keys"),
      line("web01", "sudo", "  sato : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/less /srv/カルテ/第3病棟/申し送り.txt"),
    ]);
    const rows = page.locator(".rows tbody tr");
    await rows.filter({ hasText: "tanaka" }).filter({ hasText: "10.1.2.3" }).first().waitFor();
    await expect.poll(() => rows.count()).toBe(4);
    await shot(page, "real-en-light");

    await page.getByRole("button", { name: "日本語" }).click();
    const box = searchBox(page);
    const japanese = (await rows.filter({ hasText: "10.1.2.3" }).locator(".sentence").textContent()) ?? "";
    expect(japanese).toMatch(/[\u3041-\u30ff]/);
    // A word from the middle of a Japanese log line finds it: Japanese has no blanks between words.
    await box.fill("申し送り");
    await box.press("Enter");
    await expect.poll(() => rows.count()).toBe(1);
    expect(await rows.first().locator(".sentence").textContent()).toContain("/srv/カルテ/第3病棟/申し送り.txt");
    await box.fill("10.1.2.3 and user.name:tanaka");
    await box.press("Enter");
    await expect.poll(() => rows.locator(".sentence").allTextContents()).toEqual([japanese]);
    await rows.first().click();
    const details = page.getByRole("dialog");
    await details.getByText("Accepted publickey for tanaka from 10.1.2.3").first().waitFor();
    await shot(page, "real-ja-details");

    const id = (await details.locator("code").first().textContent()) ?? "";
    expect(id).toMatch(/^\S+\/\d+\/\d+$/);
    // The proof exists once the batch is sealed: within ten seconds of silence, or when it is asked for.
    const href = (await details.getByRole("link").getAttribute("href")) ?? "";
    await expect.poll(async () => (await fetch(yagura.origin + href)).status, { timeout: 30_000 }).toBe(200);
    expect(await (await fetch(yagura.origin + href)).text()).toContain("Accepted publickey for tanaka");
    await page.keyboard.press("Escape");

    const alerts = page.getByRole("region", { name: "アラート" });
    await alerts.getByRole("listitem").first().waitFor();
    await shot(page, "real-ja-alerts");
    const api = `${yagura.origin}/api/v1/alerts?state=new`;
    const before = (await (await fetch(api)).json()) as AlertsAnswer;
    expect(before.total).toBeGreaterThan(0);
    const card = alerts.getByRole("listitem").first();
    expect(await card.locator("h3").textContent()).toMatch(/[\u3041-\u30ff\u4e00-\u9fff]/);
    await card.getByRole("button", { name: "対応を始める" }).click();
    await alerts.getByText("対応を始めました").waitFor();
    await expect.poll(async () => ((await (await fetch(api)).json()) as AlertsAnswer).total).toBe(before.total - 1);
    await alerts.getByRole("button", { name: "対応中" }).click();
    await alerts.getByRole("listitem").first().waitFor();
    await alerts.getByRole("button", { name: "イベントを見る" }).first().click();
    await expect.poll(() => rows.count()).toBeGreaterThan(0);
    expect(noted(watch)).toEqual(SOUND);
  });

  it("tells how far the ledger is sealed", async () => {
    const { page } = await open(browser, yagura.origin);
    await page.getByText(/Sealed to batch \d/).waitFor({ timeout: 45_000 });
  });

  it("marks the place of a mistake in the query, in both languages", async () => {
    const { page } = await open(browser, yagura.origin);
    const box = searchBox(page);
    await box.fill("host.name:web01 and (user.name:x");
    await box.press("Enter");
    const error = page.locator(".error");
    await error.getByText("^").waitFor();
    const english = await error.locator("p").textContent();
    await page.getByRole("button", { name: "日本語" }).click();
    await expect.poll(() => error.locator("p").textContent()).toMatch(/[\u3041-\u30ff]/);
    expect(english).not.toMatch(/[\u3041-\u30ff]/);
    await shot(page, "real-ja-error");
  });

  it("refuses an act without the header that only the page can set, and another site's request", async () => {
    const act = (headers: Record<string, string>) =>
      fetch(`${yagura.origin}/api/v1/alerts/A-000001/reopen`, { method: "POST", body: "{}", headers: { "Content-Type": "application/json", ...headers } });
    expect((await act({})).status).toBe(403);
    expect((await act({ "Yagura-Request": "1", Origin: "http://evil.invalid" })).status).toBe(403);
    expect((await act({ "Yagura-Request": "1", Origin: yagura.origin })).status).not.toBe(403);
  });

  it("copies a link that stays, saves a search, runs it by itself, removes it and takes that back", async () => {
    const watch = await open(browser, yagura.origin);
    const { page } = watch;
    const rows = page.locator(".rows tbody tr");
    const box = searchBox(page);
    await box.fill("sshd user.name:tanaka");
    await box.press("Enter");
    await expect.poll(() => rows.count()).toBe(1);
    await page.getByText("Times, columns, order").click();
    await page.getByLabel("Columns").fill("user.name, source.ip");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByRole("columnheader", { name: "source.ip" }).waitFor();
    await expect.poll(() => rows.first().locator(".column").allTextContents()).toEqual(["tanaka", "10.1.2.3"]);

    await page.getByRole("button", { name: "Copy link" }).click();
    const link = await page.getByLabel("Link to this search").inputValue();
    expect(link.startsWith(`${yagura.origin}/?`)).toBe(true);
    expect(new URL(link).searchParams.get("as_of")).toMatch(/^\d{4}-\d\d-\d\dT/);
    expect(new URL(link).searchParams.has("last")).toBe(false);
    await yagura.syslog([line("web02", "sshd", "Accepted publickey for tanaka from 10.1.2.4 port 51023 ssh2: ED25519 SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")]);
    await expect.poll(() => rows.count(), { timeout: 30_000 }).toBe(2);
    const other = await open(browser, yagura.origin, {}, link.slice(yagura.origin.length));
    await other.page.getByText("As it was at").waitFor();
    await expect.poll(() => other.page.locator(".rows tbody tr .column").allTextContents()).toEqual(["tanaka", "10.1.2.3"]);
    await other.page.getByRole("button", { name: "Show everything received" }).click();
    await expect.poll(() => other.page.locator(".rows tbody tr").count()).toBe(2);
    await other.page.context().close();

    await page.getByRole("button", { name: "Save search" }).click();
    const form = page.getByRole("form", { name: "Save search" });
    await form.getByLabel("Name").fill("田中のログオン");
    await form.getByLabel("What it is for").fill("<b>毎朝</b>の確認");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved: 田中のログオン").waitFor();

    // As another day: the page anew, everything from the server.
    await page.goto(yagura.origin);
    await page.getByRole("button", { name: "Saved searches" }).click();
    const saved = page.getByRole("region", { name: "Saved searches" });
    const card = saved.getByRole("listitem").filter({ hasText: "田中のログオン" });
    await card.getByText("<b>毎朝</b>の確認").waitFor();
    await card.getByRole("button", { name: "Open" }).click();
    await page.getByRole("columnheader", { name: "source.ip" }).waitFor();
    expect(await box.inputValue()).toBe("sshd user.name:tanaka");
    await expect.poll(() => rows.count()).toBe(2);

    await card.getByRole("button", { name: "Schedule" }).click();
    const schedule = saved.getByRole("form", { name: "Schedule of 田中のログオン" });
    await schedule.getByLabel("Schedule").selectOption("every");
    await schedule.getByRole("spinbutton", { name: "Minutes" }).fill("15");
    await schedule.getByLabel("Level").selectOption("high");
    await schedule.getByRole("button", { name: "Save" }).click();
    await card.getByText("every 15 minutes; above 0 rows: High").waitFor();
    await card.getByText("Next:").waitFor();
    await shot(page, "real-en-saved");

    await card.getByRole("button", { name: "Remove" }).click();
    await saved.getByText("No saved searches").waitFor();
    await saved.getByRole("button", { name: "Undo" }).click();
    await card.getByText("every 15 minutes; above 0 rows: High").waitFor();
    await card.getByRole("button", { name: "Remove" }).click();
    await saved.getByText("No saved searches").waitFor();
    expect(noted(watch)).toEqual(SOUND);
  });

  it("shows hostile lines as text: no dialog, no report of the CSP, nothing hidden", async () => {
    const lines = [...XSS_LINES, ...FORGING_LINES];
    const watch = await open(browser, yagura.origin);
    const { page } = watch;
    await page.locator(".rows tbody tr").first().waitFor();
    await yagura.syslog(lines.flatMap((text) => [
      line("hostile", "app", text),
      line("hostile", "sshd", `Failed password for invalid user ${text} from 203.0.113.66 port 4444 ssh2`),
    ]));
    // An IPv4 host the attacker names freely, and a body that no parser knows.
    await yagura.syslog(["<13>Nov 21 00:00:00 <b>host</b> x: <script>alert(1)</script>", Buffer.from([0x3c, 0x31, 0x3e, 0xff, 0xfe, 0x00, 0x1b, 0x5b, 0x41])]);
    const found = async () => {
      const answer = await fetch(`${yagura.origin}/api/v1/search?${new URLSearchParams({ query: "host.name:hostile", limit: "1000" }).toString()}`);
      return ((await answer.json()) as SearchAnswer).rows.length;
    };
    await expect.poll(found, { timeout: 30_000 }).toBe(2 * lines.length);
    const rows = page.locator(".rows tbody tr");
    await expect.poll(() => rows.count(), { timeout: 30_000 }).toBeGreaterThan(lines.length);
    const shown = (await page.locator(".rows").textContent()) ?? "";
    expect(shown).not.toMatch(/[\p{Cc}\u200b\u202e\u2066\ufeff]/u);
    expect(shown).toContain("invoice gpj.exe");
    for (let index = 0; index < 40; index += 5) {
      await page.locator(".row-open").nth(index).click();
      await page.getByRole("dialog").waitFor();
      await page.keyboard.press("Escape");
    }
    // The sentence leaves out what would hide or move text; the details show it by name.
    await page.locator(".rows tbody tr", { hasText: "invoice gpj.exe" }).first().locator(".row-open").click();
    expect(await page.getByRole("dialog").textContent()).toContain("invoice‹U+202E›gpj.exe");
    await page.keyboard.press("Escape");
    await shot(page, "real-hostile");
    await page.getByRole("button", { name: "日本語" }).click();
    await page.getByRole("button", { name: "一時停止" }).waitFor();
    expect(await page.evaluate(() => document.querySelectorAll("#root :is(script, img, iframe, svg, object, style, b)").length)).toBe(0);
    expect(await page.evaluate(() => "__pwned" in window)).toBe(false);
    expect(noted(watch)).toEqual(SOUND);
  });
});
