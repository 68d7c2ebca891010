// A whole journey with the generated TypeScript types; prints what was seen as one line of JSON.

import createClient from "openapi-fetch";
import type { components, paths } from "./charter.d.ts";

type Problem = components["schemas"]["Problem"];

const password = "correct horse battery staple";
const api = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });

const { data: user } = await api.POST("/api/v1/auth/signup", {
  body: { username: "alice", email: "alice@example.com", password },
});
if (!user) throw new Error("alice could not sign up");

const { error: refused } = await api.POST("/api/v1/auth/signup", {
  body: { username: "bob", email: "bob@example.com", password: "hunter2" },
});
const faults = refused?.errors?.map(({ pointer, code }) => [pointer, code]);

const { data: granted } = await api.POST("/api/v1/auth/login", { body: { username: user.email, password } });
if (!granted) throw new Error("alice could not log in");
const headers = { Authorization: `${granted.token_type} ${granted.access_token}` };

const { data: profile } = await api.GET("/api/v1/me", { headers });
const { data: checked } = await api.GET("/protected", { headers });

const { response: loggedOut } = await api.POST("/api/v1/auth/logout", { headers });
const afterwards: Problem | undefined = (await api.GET("/api/v1/me", { headers })).error;

const seen = {
  signUp: [user.username, user.email],
  refused: [refused?.status, refused?.code, faults],
  logIn: granted.expires_in,
  profile: [profile?.id === user.id, profile?.username, profile?.created_at.endsWith("Z")],
  protected: checked?.message,
  logOut: loggedOut.status,
  afterwards: [afterwards?.status, afterwards?.code],
};
console.log(JSON.stringify(seen));
