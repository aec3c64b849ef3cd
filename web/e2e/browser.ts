import { existsSync } from "node:fs";
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from "playwright-core";

/** What must never happen on a page that shows hostile text. */
export interface Watch {
  page: Page;
  dialogs: string[];
  violations: string[];
  errors: string[];
  foreign: string[];
}

const CHROMIUM = process.env["YAGURA_CHROMIUM"] ?? "/usr/bin/chromium";

export function launch(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`no browser at ${CHROMIUM}: install chromium, or set YAGURA_CHROMIUM`);
  return chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
}

/** Opens a page of `origin` in a fresh context and notes every dialog, CSP report, error and foreign request. */
export async function open(browser: Browser, origin: string, options: BrowserContextOptions = {}, path = "/"): Promise<Watch> {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Asia/Tokyo", viewport: { width: 1440, height: 860 }, ...options });
  const page = await context.newPage();
  const watch: Watch = { page, dialogs: [], violations: [], errors: [], foreign: [] };
  page.on("dialog", (dialog) => {
    watch.dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  page.on("pageerror", (error) => watch.errors.push(error.message));
  page.on("console", (message) => {
    const text = message.text();
    if (text.startsWith("csp ") || /content security policy/i.test(text)) watch.violations.push(text);
    else if (message.type() === "error" && !text.startsWith("Failed to load resource")) watch.errors.push(text);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin && !request.url().startsWith("data:")) watch.foreign.push(request.url());
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.log(`csp ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  await page.goto(origin + path);
  return watch;
}

/** The line that is searched with; the list of ranges is a combobox too. */
export function searchBox(page: Page): Locator {
  return page.locator('input[name="query"]');
}

/** Screens for the eye, where `YAGURA_SHOTS` names a directory. */
export async function shot(page: Page, name: string): Promise<void> {
  const directory = process.env["YAGURA_SHOTS"];
  if (directory !== undefined) await page.screenshot({ path: `${directory}/${name}.png` });
}
