// A headless Chromium for tests.
//
// The browser that npm installs is for Linux on x86-64. On other systems, set CHROMIUM to the path of another browser.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { inflate } from "@sparticuz/chromium";
import { chromium } from "playwright-core";

// Milliseconds. Even a busy machine needs less time.
export const PATIENCE = 300_000;

// Open a page of a new browser, and close both after the visit.
export async function withPage(visit) {
  // Simultaneous runs must not use each other's half-unpacked browser.
  const folder = await mkdtemp(join(tmpdir(), "charter-browser-"));
  try {
    const browser = await launch(folder);
    await visit(await browser.newPage());
    await browser.close();
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function launch(folder) {
  const installed = process.env.CHROMIUM ? { executablePath: process.env.CHROMIUM } : await unpack(folder);
  return chromium.launch({
    ...installed,
    timeout: PATIENCE,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
}

async function unpack(folder) {
  process.env.TMPDIR = folder;
  const packed = new URL("../bin/", import.meta.resolve("@sparticuz/chromium"));
  const [executablePath, fonts, libraries] = await Promise.all(
    ["chromium.br", "fonts.tar.br", "al2023.tar.br"].map((name) => inflate(fileURLToPath(new URL(name, packed)))),
  );
  // Chromium crashes without a font, and the package's own configuration expects the fonts in /tmp.
  const fontConfig = join(folder, "fonts.conf");
  await writeFile(fontConfig, `<fontconfig><dir>${fonts}</dir><cachedir>${folder}/cache</cachedir></fontconfig>`);
  const env = { ...process.env, FONTCONFIG_FILE: fontConfig, LD_LIBRARY_PATH: join(libraries, "lib") };
  return { executablePath, env };
}
