// Matched words marked in a text, as text nodes: a text from outside never becomes markup.

import { html } from "./vendor/htm/standalone.module.js";

const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const LETTERS = "[\\p{L}\\p{N}]";

// Latin words match whole, their * any letters; runs of other scripts, which have no spaces, match anywhere.
function pattern(word) {
  const stem = word.replace(/^\*+|\*+$/g, "");
  if (!stem) return null;
  const isLatin = /^[\p{Script=Latin}\p{N}]/u.test(stem);
  const body = (isLatin ? word : stem)
    .split(/\s+/)
    .map((part) => part.split("*").map(escaped).join(`${LETTERS}*`))
    .join("[\\s\\p{P}]+");
  return isLatin ? `(?<!${LETTERS})${body}(?!${LETTERS})` : body;
}

export function matcher(words) {
  const patterns = words.map(pattern).filter(Boolean).sort((a, b) => b.length - a.length);
  return patterns.length ? new RegExp(patterns.join("|"), "giu") : null;
}

export function marked(text, found) {
  if (!found || !text) return text;
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(found)) {
    if (match.index > from) parts.push(text.slice(from, match.index));
    parts.push(html`<mark>${match[0]}</mark>`);
    from = match.index + match[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

// At most `limit` characters of `text`, around the first match where there is one.
export function excerpt(text, found, limit) {
  if (text.length <= limit) return text;
  const at = found ? text.search(found) : -1;
  const from = at > limit * 0.7 ? Math.max(0, at - Math.floor(limit / 3)) : 0;
  return `${from ? "… " : ""}${text.slice(from, from + limit).trim()}${from + limit < text.length ? " …" : ""}`;
}
