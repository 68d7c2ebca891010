// Follow links of mails with the keyboard alone, and print the reports as one line of JSON.
//
//     node pages.mjs VISITS [SCREENSHOTS]
//
// VISITS is a list in JSON. Each visit has the link, its locale, and the texts to type: wrong ones, and then good ones.
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { PATIENCE, withPage } from "./browser.mjs";

const [visits, screenshots] = process.argv.slice(2);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const reports = [];

await withPage(async (page) => {
  for (const visit of JSON.parse(visits)) reports.push(await report(page.context().browser(), visit));
});
console.log(JSON.stringify(reports));

async function report(browser, visit) {
  const page = await browser.newPage({ locale: visit.locale });
  page.setDefaultTimeout(PATIENCE);
  const seen = { inaccessible: [], tooWide: [], strayRequests: [], pageErrors: [], violations: [] };
  await watch(page, seen, new URL(visit.link).origin);
  const [address, code] = visit.link.split("#code=");
  const look = (state) => inspect(page, seen, `${new URL(address).pathname.slice(1)}-${visit.locale}-${state}`);

  // A scanner that runs scripts, and a prefetch, must not use the code.
  const scanner = await browser.newPage();
  let calls = 0;
  for (const tab of [page, scanner]) tab.on("request", (request) => (calls += request.url().includes("/api/")));
  await scanner.goto(visit.link);
  await scanner.close();
  await page.request.get(visit.link);

  await page.goto(address);
  seen.withoutCode = await labels(page);
  await look("without-code");
  // Only the fragment changes, so the page stays.
  await page.goto(visit.link);
  await page.waitForURL(address);
  await page.reload();
  seen.afterReload = await labels(page);
  await page.goto(visit.link);
  await page.waitForURL(address);
  seen.labels = await labels(page);
  seen.title = await page.title();
  seen.language = await page.locator("html").getAttribute("lang");
  seen.showsCode = (await page.content()).includes(code);
  await look("start");
  seen.callsBeforeClick = calls;

  await offline(page, seen, look);
  if (Object.keys(visit.wrong).length) await makeMistake(page, visit.wrong, seen, look);
  await fill(page, visit.right);
  await tabTo(page, "button[type=submit]");
  await page.keyboard.press("Enter");
  await page.locator("#done").waitFor();
  seen.result = await page.locator("#result").innerText();
  seen.resultHasFocus = await page.evaluate(() => document.activeElement.id === "result");
  await look("done");

  // The code is used up now, so the page asks for another one.
  await page.goto(visit.link);
  await fill(page, visit.right);
  await tabTo(page, "button[type=submit]");
  await page.keyboard.press("Enter");
  await page.locator("[aria-invalid]").waitFor();
  seen.used = await faults(page);
  seen.focusAfterUse = await page.evaluate(() => document.activeElement.id);
  await look("used");
  await page.close();
  return seen;
}

async function watch(page, seen, origin) {
  page.on("pageerror", (error) => seen.pageErrors.push(String(error)));
  page.on("request", (request) => request.url().startsWith(`${origin}/`) || seen.strayRequests.push(request.url()));
  await page.exposeFunction("reportViolation", (violation) => seen.violations.push(violation));
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      window.reportViolation(`${event.violatedDirective} ${event.blockedURI}`),
    ),
  );
}

async function offline(page, seen, look) {
  await page.route("**/api/**", (route) => route.abort());
  await tabTo(page, "button[type=submit]");
  await page.keyboard.press("Enter");
  await page.locator("#problem:not(:empty)").waitFor();
  seen.offline = await page.locator("#problem").innerText();
  await look("offline");
  await page.unroute("**/api/**");
}

async function makeMistake(page, texts, seen, look) {
  await fill(page, texts);
  await page.keyboard.press("Enter");
  await page.locator("[aria-invalid]").first().waitFor();
  seen.faults = await faults(page);
  seen.focusAfterFaults = await page.evaluate(() => document.activeElement.id);
  await look("faults");
  for (const button of await page.locator("button.show").all()) {
    const input = page.locator(`#${await button.getAttribute("aria-controls")}`);
    await tabTo(page, `.show[aria-controls=${await input.getAttribute("id")}]`);
    await page.keyboard.press("Space");
    seen.shown = await input.getAttribute("type");
    await look("shown");
    await page.keyboard.press("Space");
    seen.hidden = await input.getAttribute("type");
  }
}

async function fill(page, texts) {
  for (const [name, text] of Object.entries(texts)) {
    await tabTo(page, `#${name}`);
    await page.keyboard.press("Control+A");
    await page.keyboard.type(text);
  }
}

// Press the tab key until an element has the focus. Fails after one round.
async function tabTo(page, selector) {
  for (let presses = 0; presses < 20; presses += 1) {
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the tab key does not lead to ${selector}`);
}

function labels(page) {
  return page.locator("label:visible").allInnerTexts();
}

// Return the texts of the faults by field, each with its language if it is not that of the page.
function faults(page) {
  return page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll(".field")]
        .map((field) => [field.dataset.field, [...field.querySelectorAll(".error > span")]])
        .filter(([, lines]) => lines.length)
        .map(([name, lines]) => [name, lines.map((line) => `${line.lang} ${line.textContent}`.trim())]),
    ),
  );
}

async function inspect(page, seen, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 720 });
      const place = `${name}-${colorScheme}-${width}`;
      if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) seen.tooWide.push(place);
      if (screenshots) await page.screenshot({ path: join(screenshots, `${place}.png`) });
    }
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    seen.inaccessible.push(...violations.map((rule) => `${name}-${colorScheme}: ${rule.id} ${rule.nodes[0].html}`));
  }
}
