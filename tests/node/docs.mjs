// Use the documentation page like a new user, and print the results as one line of JSON.
//
//     node docs.mjs BASE_URL USERNAME [SCREENSHOT]
import { PATIENCE, withPage } from "./browser.mjs";

const [baseUrl, username, screenshot] = process.argv.slice(2);
const seen = { consoleErrors: [], pageErrors: [], failedRequests: [], strayRequests: [], violations: [] };

try {
  await withPage(visit);
} finally {
  console.log(JSON.stringify(seen));
}

async function visit(page) {
  page.setDefaultTimeout(PATIENCE);
  await watch(page);
  await page.goto(`${baseUrl}/docs`);
  seen.title = await page.title();
  seen.signUp = await call(page, "auth-signUp", { username, email: `${username}@example.com` });
  seen.logIn = await call(page, "auth-logIn", { username });
  await authorize(page, seen.logIn.body.access_token);
  seen.protected = await call(page, "system-protected");
  seen.profile = await call(page, "profile-getProfile");
  seen.sessions = await call(page, "sessions-listSessions");
  const profile = page.locator("#operations-profile-getProfile");
  seen.scopes = await profile.getByRole("row", { name: "x-scopes" }).last().innerText();
  seen.banners = await page.locator(".errors-wrapper").allInnerTexts();
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
}

async function watch(page) {
  page.on("console", (message) => message.type() === "error" && seen.consoleErrors.push(message.text()));
  page.on("pageerror", (error) => seen.pageErrors.push(String(error)));
  page.on("requestfailed", (request) => seen.failedRequests.push(request.url()));
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(`${baseUrl}/`);
    if (!isOwn && !request.url().startsWith("data:")) seen.strayRequests.push(request.url());
  });
  await page.exposeFunction("report", (violation) => seen.violations.push(violation));
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      window.report(`${event.violatedDirective} ${event.blockedURI}`),
    ),
  );
}

// Open an operation, send its example with some members changed, and read the response from the page.
async function call(page, operation, changes) {
  const block = page.locator(`#operations-${operation}`);
  await block.getByRole("button").first().click();
  if (changes) {
    const body = block.locator("textarea");
    const example = JSON.parse(await body.inputValue());
    await body.fill(JSON.stringify({ ...example, ...changes }, null, 2));
  }
  await block.getByRole("button", { name: "Execute" }).click();
  const response = block.locator(".live-responses-table .response");
  const status = await response.locator(".response-col_status").innerText();
  const body = await response.locator(".highlight-code code").first().innerText();
  return { status: Number(status), body: JSON.parse(body) };
}

async function authorize(page, token) {
  await page.locator(".auth-wrapper").getByRole("button", { name: "Authorize" }).click();
  const dialog = page.locator(".modal-ux");
  // Each security scheme has a form of its own.
  const form = dialog.locator(".auth-container").filter({ hasText: "bearer (http" });
  await form.getByLabel("auth-bearer-value").fill(token);
  await form.getByRole("button", { name: "Apply credentials" }).click();
  await dialog.locator(".close-modal").click();
}
