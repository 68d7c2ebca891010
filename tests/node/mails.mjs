// Open pages of mails in windows of several widths, light and dark, and print what does not fit as one line of JSON.
//
//     node mails.mjs FOLDER [SCREENSHOTS]
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { PATIENCE, withPage } from "./browser.mjs";

const [folder, screenshots] = process.argv.slice(2);
const seen = { pages: [], tooWide: [], pale: [], requests: [] };

await withPage(async (page) => {
  page.setDefaultTimeout(PATIENCE);
  page.on("request", (request) => seen.requests.push(request.url()));
  for (const name of (await readdir(folder)).sort()) {
    seen.pages.push(name);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setContent(await readFile(join(folder, name), "utf8"));
      for (const width of [320, 375, 1280]) await look(page, name, colorScheme, width);
    }
  }
});
console.log(JSON.stringify(seen));

async function look(page, name, colorScheme, width) {
  await page.setViewportSize({ width, height: 640 });
  const place = `${name} ${colorScheme} ${width}`;
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) seen.tooWide.push(place);
  seen.pale.push(...(await page.evaluate(paleTexts)).map((text) => `${place}: ${text}`));
  if (screenshots) await page.screenshot({ path: join(screenshots, `${place.replaceAll(" ", "-")}.png`) });
}

// Return the elements whose text has less contrast with its background than WCAG 2.2 requires (1.4.3, level AA).
function paleTexts() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const linear = (part) => (part <= 10.3 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const color = parse(getComputedStyle(element).backgroundColor);
    return color[3] === 0 ? background(element.parentElement) : color;
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll("*")].filter(hasText).flatMap((element) => {
    const [low, high] = [parse(getComputedStyle(element).color), background(element)].map(luminance).sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    return contrast < 4.5 ? [`${element.textContent.trim()} (${contrast.toFixed(2)})`] : [];
  });
}
