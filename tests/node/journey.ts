// Use every operation through the generated TypeScript types, and print the results as one line of JSON.

import createClient from "openapi-fetch";
import type { components, operations, paths } from "./charter.d.ts";

type Problem = components["schemas"]["Problem"];
type TokenPair = components["schemas"]["TokenPair"];

const password = "correct horse battery staple";
const newPassword = "a better battery for this horse";
const api = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });

async function logIn(password: string): Promise<TokenPair> {
  const { data } = await api.POST("/api/v1/auth/login", { body: { username: "alice@example.com", password } });
  if (!data) throw new Error("alice could not log in");
  return data;
}

function authorization({ token_type, access_token }: TokenPair) {
  return { Authorization: `${token_type} ${access_token}` };
}

const { data: user } = await api.POST("/api/v1/auth/signup", {
  body: { username: "alice", email: "alice@example.com", password },
});
if (!user) throw new Error("alice could not sign up");

const { error: refused } = await api.POST("/api/v1/auth/signup", {
  body: { username: "bob", email: "bob@example.com", password: "hunter2" },
});
const faults = refused?.errors?.map(({ pointer, code }) => [pointer, code]);

const granted = await logIn(password);
const { data: refreshed } = await api.POST("/api/v1/auth/refresh", { body: { refresh_token: granted.refresh_token } });
if (!refreshed) throw new Error("alice could not refresh");
const headers = authorization(refreshed);
const elsewhere = authorization(await logIn(password));

const { data: profile } = await api.GET("/api/v1/me", { headers });
const { data: checked } = await api.GET("/protected", { headers: elsewhere });
const { data: set } = await api.GET("/.well-known/jwks.json");

async function page(cursor?: string) {
  const { data } = await api.GET("/api/v1/sessions", { headers, params: { query: { limit: 1, cursor } } });
  if (!data) throw new Error("alice could not list her sessions");
  return data;
}

const first = await page();
const next: string | null = first.next_cursor;
const second = await page(next ?? undefined);
const sessions = [...first.items, ...second.items];

const params = { path: { session_id: first.items[0].id } };
const { response: revoked } = await api.DELETE("/api/v1/sessions/{session_id}", { headers, params });
const shutOut: Problem | undefined = (await api.GET("/protected", { headers: elsewhere })).error;

const { response: changed } = await api.PUT("/api/v1/me/password", {
  headers,
  body: { current_password: password, new_password: newPassword },
});
const { response: loggedOut } = await api.POST("/api/v1/auth/logout", { headers });
const afterwards: Problem | undefined = (await api.GET("/api/v1/me", { headers })).error;
const tooLate = (await api.POST("/api/v1/auth/refresh", { body: { refresh_token: refreshed.refresh_token } })).error;
const again = await logIn(newPassword);

const guesses = [];
for (let attempt = 0; attempt < 18; attempt++) {
  const body = { username: `user${attempt}`, password: "a wrong password" };
  const { error, response } = await api.POST("/api/v1/auth/login", { body });
  guesses.push({ error, headers: response.headers });
}
const { error: limit, headers: limits } = guesses.pop()!;
// The types know these headers. Other names are of the type unknown.
type Limited = operations["logIn"]["responses"][429]["headers"];
const wait: Limited["Retry-After"] = Number(limits.get("Retry-After"));
const budget: Limited["RateLimit"] = limits.get("RateLimit") ?? "";
const policy: Limited["RateLimit-Policy"] = limits.get("RateLimit-Policy") ?? "";

const seen = {
  signUp: [user.username, user.email],
  refused: [refused?.status, refused?.code, faults],
  logIn: [granted.expires_in, granted.scope],
  refreshTokens: [refreshed.refresh_token !== granted.refresh_token, refreshed.refresh_expires_in],
  profile: [profile?.id === user.id, profile?.username, profile?.created_at.endsWith("Z")],
  protected: checked?.message,
  keys: set?.keys.filter(({ alg }) => alg === "ES256").map(({ kty, crv }) => [kty, crv]),
  sessions: sessions.map(({ current, ip_address }) => [current, ip_address]),
  lastPage: second.next_cursor,
  revokeSession: [revoked.status, shutOut?.code],
  changePassword: [changed.status, again.expires_in],
  logOut: loggedOut.status,
  afterwards: [afterwards?.status, afterwards?.code, tooLate?.code],
  guesses: guesses.map(({ error }) => error?.status),
  limited: [limit?.status, limit?.code, wait.toFixed(), budget.trim(), policy.trim()],
};
console.log(JSON.stringify(seen));
