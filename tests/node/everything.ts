// Call the operations of the contract with every construct through the generated TypeScript types.

import createClient from "openapi-fetch";
import type { paths } from "./everything.d.ts";

const headers = { Authorization: "Bearer read,write" };
const api = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });
const rgb = { R: 1, G: 2 };

const inside = await api.GET("/files/{name}.{ext}", { params: { path: { name: "b", ext: "csv" } } });
const simple = await api.GET("/referenced/{word}", { params: { path: { word: "bcd" } } });
const query = await api.GET("/query", {
  params: { query: { "page-size": 5, "filter[name]": "b", country: "NO", flag: true, "price<": 1.5 } },
});
const styles = await api.GET("/styles", {
  params: { query: { form: ["b", "c"], deep: rgb } },
  querySerializer: { object: { style: "deepObject", explode: true } },
});
const comma = await api.GET("/styles", {
  params: { query: { comma: ["b", "c"] } },
  querySerializer: { array: { style: "form", explode: false } },
});
const exploded = await api.GET("/exploded", {
  params: { query: { rgb } },
  querySerializer: { object: { style: "form", explode: true } },
});
const headed = await api.GET("/headers", { params: { header: { "X-Number": 5, "X-Flag": false } } });
const json = await api.POST("/bodies/json", { body: rgb });
const patched = await api.PATCH("/bodies/json", {
  body: { a: 1 },
  headers: { "Content-Type": "application/merge-patch+json" },
});
const absent = await api.PUT("/bodies/json");
const form = await api.POST("/bodies/form", {
  body: { a: 1, list: ["b"] },
  headers: { "Content-Type": "application/x-www-form-urlencoded" },
});
const made = await api.POST("/items", { body: rgb });
const read = await api.GET("/items/{id}", { params: { path: { id: made.data?.id ?? 0 } } });
const removed = await api.DELETE("/items/{id}", { params: { path: { id: 1 } } });
const created = await api.GET("/responses/statuses", { params: { query: { status: 201 } } });
const text = await api.GET("/responses/text", { parseAs: "text" });
const rows = await api.GET("/responses/rows", { parseAs: "text" });
const file = await api.GET("/responses/file", { parseAs: "arrayBuffer" });
const pet = await api.POST("/schemas/pet", { body: { kind: "cat", lives: 9 } });
const composed = await api.POST("/schemas/composed", { body: { a: 1, b: "c" } });
const either = await api.POST("/schemas/either", { body: 5 });
const map = await api.POST("/schemas/map", { body: { x: 1 } });
const tree = await api.POST("/schemas/tree", { body: { name: "b", children: [{ name: "c" }] } });
const nullable = await api.POST("/versioned/nullable", { body: { text: null, list: null } });
const bearer = await api.GET("/security/bearer", { headers });
const refused = await api.GET("/security/bearer");

const seen = {
  inside: inside.data,
  simple: simple.data,
  query: query.data?.["price_lt"],
  styles: [styles.data?.["form"], styles.data?.["deep"]],
  comma: comma.data?.["comma"],
  exploded: exploded.data,
  headed: [headed.data?.["x_number"], headed.data?.["x_flag"]],
  bodies: [json.data, patched.data, absent.data, form.data?.["body"]],
  items: [made.data, read.data, removed.response.status],
  created: created.data,
  texts: [text.data, rows.data, file.data && (file.data as ArrayBuffer).byteLength],
  schemas: [pet.data, composed.data, either.data, map.data, tree.data, nullable.data],
  security: [bearer.data, refused.response.status],
};
console.log(JSON.stringify(seen));
