// Call the API from pages of two other origins, and print the results as one line of JSON.
//
//     node cors.mjs BASE_URL LISTED_PORT UNLISTED_PORT
//
// The pages are served on ports of 127.0.0.1, because another port is another origin.

import { createServer } from "node:http";

import { withPage } from "./browser.mjs";

const [baseUrl, ...ports] = process.argv.slice(2);
const servers = ports.map((port) => serve(Number(port)));
try {
  await withPage(async (page) => {
    await page.goto(`http://127.0.0.1:${ports[0]}/`);
    const listed = await page.evaluate(useTheApi, baseUrl);
    await page.goto(`http://127.0.0.1:${ports[1]}/`);
    const unlisted = await page.evaluate(useTheApi, baseUrl);
    console.log(JSON.stringify({ listed, unlisted }));
  });
} finally {
  servers.forEach((server) => server.close());
}

function serve(port) {
  const server = createServer((_, response) => response.end("<!doctype html><title>Application</title>"));
  return server.listen(port, "127.0.0.1");
}

// This function runs in the page, so it uses nothing from outside.
async function useTheApi(base) {
  async function call(method, path, body, token) {
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    try {
      const response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
      const text = await response.text();
      const readable = Object.fromEntries(response.headers);
      return { status: response.status, headers: readable, body: text ? JSON.parse(text) : null };
    } catch (error) {
      return { error: error.name };
    }
  }
  const user = { username: "alice", password: "correct horse battery staple" };
  const signUp = await call("POST", "/api/v1/auth/signup", { ...user, email: "alice@example.com" });
  const wrong = await call("POST", "/api/v1/auth/login", { ...user, password: "wrong password" });
  const logIn = await call("POST", "/api/v1/auth/login", user);
  const limited = await call("POST", "/api/v1/auth/login", user);
  const profile = await call("GET", "/api/v1/me", null, logIn.body?.access_token);
  const noToken = await call("GET", "/api/v1/me");
  const ready = await call("GET", "/ready");
  const logOut = await call("POST", "/api/v1/auth/logout", null, logIn.body?.access_token);
  return { signUp, wrong, logIn, limited, profile, noToken, ready, logOut };
}
