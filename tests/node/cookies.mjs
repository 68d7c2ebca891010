// Use the API with a cookie from pages of a listed origin, attack it from another one, and print one line of JSON.
//
//     node cookies.mjs PROGRAM BASE_URL LISTED_PORT UNLISTED_PORT
//
// The program is that of the documentation, which logs in and leaves the access token in `token`.
// The pages are served on ports of 127.0.0.1. Another port is another origin, but the same site.

import { createServer } from "node:http";

import { withPage } from "./browser.mjs";

const [program, baseUrl, ...ports] = process.argv.slice(2);
const servers = ports.map((port) => serve(Number(port)));
const refreshUrl = `${baseUrl}/api/v1/browser/refresh`;
try {
  await withPage(async (first) => {
    // Pages of one context share their cookies.
    const context = await first.context().browser().newContext();
    const tabs = [await context.newPage(), await context.newPage()];
    for (const tab of tabs) await tab.goto(`http://127.0.0.1:${ports[0]}/`);
    const user = { username: "alice", password: "correct horse battery staple" };
    await call(tabs[0], "/api/v1/auth/signup", { ...user, email: "alice@example.com" });
    const logIn = await call(tabs[0], "/api/v1/browser/login", user);
    const cookies = await context.cookies();
    const readable = await tabs[0].evaluate(() => document.cookie);
    const refreshed = await Promise.all(tabs.map((tab) => call(tab, "/api/v1/browser/refresh")));
    const token = refreshed[1].body?.access_token;
    const sessions = (await call(tabs[0], "/api/v1/sessions", null, token, "GET")).body?.items.length;
    const before = await context.cookies();
    const attack = await attackFrom(await context.newPage());
    const after = await context.cookies();
    const logOut = await call(tabs[0], "/api/v1/browser/logout");
    const left = await context.cookies();
    const refresh = await call(tabs[1], "/api/v1/browser/refresh");
    const documented = await (await first.context().browser().newContext()).newPage();
    await documented.goto(`http://127.0.0.1:${ports[0]}/`);
    const statusOfRefresh = '(await call("refresh")).status';
    const written = await documented.evaluate(
      `(async () => { ${program}; return [isLoggedIn, typeof token, ${statusOfRefresh}, typeof token]; })()`,
    );
    const report = { written, logIn, cookies, readable, tabs: refreshed, sessions, before, attack, after, logOut, left, refresh };
    console.log(JSON.stringify(report));
  });
} finally {
  servers.forEach((server) => server.close());
}

function serve(port) {
  const page = '<!doctype html><title>Application</title><form method="post"><input name="a" value="b"></form>';
  const server = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(page));
  return server.listen(port, "127.0.0.1");
}

function call(page, path, body, token, method = "POST") {
  // The function runs in the page, so it uses nothing from outside.
  return page.evaluate(
    async ([url, method, body, token]) => {
      const headers = {};
      if (body) headers["Content-Type"] = "application/json";
      if (token) headers.Authorization = `Bearer ${token}`;
      const options = { method, headers, credentials: "include", body: body && JSON.stringify(body) };
      const response = await fetch(url, options);
      const text = await response.text();
      return { status: response.status, body: text ? JSON.parse(text) : null };
    },
    [baseUrl + path, method, body, token],
  );
}

// Return the status of each attempt to refresh, or the error if the browser sends no such request.
async function attackFrom(page) {
  await page.goto(`http://127.0.0.1:${ports[1]}/`);
  const credentials = "include";
  const fetching = (options) =>
    page.evaluate(
      ([url, options]) => fetch(url, { method: "POST", ...options }).then((response) => response.type, (error) => error.name),
      [refreshUrl, options],
    );
  const fetched = await fetching({ credentials });
  const script = await fetching({ credentials, headers: { "Content-Type": "application/json" } });
  const noCors = await statusOf(page, () => fetching({ credentials, mode: "no-cors" }));
  // The browser hides the status of an image.
  const image = await page.evaluate(
    (url) => new Promise((resolve) => Object.assign(new Image(), { onload: resolve, onerror: () => resolve("error"), src: url })),
    refreshUrl,
  );
  const submit = (url) => Object.assign(document.querySelector("form"), { action: url }).submit();
  const form = await statusOf(page, () => page.evaluate(submit, refreshUrl));
  return { fetch: fetched, noCors, form, image, script };
}

async function statusOf(page, act) {
  const [response] = await Promise.all([page.waitForResponse(refreshUrl), act()]);
  return response.status();
}
