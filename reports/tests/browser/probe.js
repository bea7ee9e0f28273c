// SPDX-License-Identifier: GPL-2.0-or-later
// Looks at the page that it is put into, and leaves what it saw where --dump-dom shows it.
"use strict";
addEventListener("load", () => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  // WCAG 2.2, "relative luminance" and "contrast ratio".
  const luminance = ({ r, g, b }) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return parse("rgb(255, 255, 255)");
  };
  const faint = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const hidden = element.closest("script, style, title, .sr, .skip, caption") || !element.checkVisibility();
    if (hidden || !node.textContent.trim()) continue;
    const style = getComputedStyle(element);
    const colour = parse(element instanceof SVGElement ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const found = ratio(colour, background(element));
    texts += 1;
    if (found < least) faint.push(`${found.toFixed(2)}: ${node.textContent.trim().slice(0, 40)}`);
  }
  const rows = [...document.querySelectorAll("#verdict-rows > tr")];
  const input = document.getElementById("filter-text");
  const filter = (text) => {
    if (!input) return [];
    input.value = text;
    input.dispatchEvent(new Event("input"));
    return rows.filter((row) => row.checkVisibility()).map((row) => row.textContent);
  };
  const shown = filter("aarch64 ROTATE");
  const told = document.getElementById("filter-count")?.textContent;
  const all = filter("").length;
  const reached = [...document.querySelectorAll("a[href], summary, .scroll, input, pre, button")];
  const unseen = reached.filter((element) => {
    if (!element.checkVisibility()) return false;
    element.focus();
    return document.activeElement !== element || getComputedStyle(element).outlineStyle !== "solid";
  });
  const seen = {
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    resources: performance.getEntriesByType("resource").map((entry) => entry.name),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    texts,
    faint,
    rows: { all, shown, told },
    reached: reached.length,
    unseen: unseen.map((element) => element.outerHTML.slice(0, 80)),
  };
  parent.document.documentElement.dataset.probe = encodeURIComponent(JSON.stringify(seen));
});
