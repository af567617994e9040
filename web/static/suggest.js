// What could come next in a query: names of fields, then operators, then the values that a field has in the range of time.

import { html, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { getJson } from "./api.js";
import { small } from "./format.js";

const MOST = 8;
const WORDS = ["and", "or", "not"];

// What is being typed before the caret: { kind: "value", field, typed, from } or { kind: "field", typed, from }; `from` is where it begins.
export function context(text, caret) {
  const before = text.slice(0, caret);
  if ((before.match(/(?<!\\)"/g)?.length ?? 0) % 2 === 1 && !/[\w.]:\s*"[^"]*$/.test(before)) return null;
  const value = before.match(/([A-Za-z_][\w.]*)\s*:\s*(?:\((?:[^()]*\s)?)?("?)([^\s"()]*)$/);
  if (value) return { kind: "value", field: value[1], typed: value[3], from: caret - value[3].length - value[2].length };
  const field = before.match(/(?:^|[\s(])([A-Za-z_][\w.]*)$/);
  return field ? { kind: "field", typed: field[1], from: caret - field[1].length } : null;
}

const rank = (name, typed) => (name.startsWith(typed) ? 0 : name.split(".").some((part) => part.startsWith(typed)) ? 1 : name.includes(typed) ? 2 : 3);

// The fields that `typed` may become, those that begin with it first.
export function fieldsFor(fields, typed) {
  const wanted = typed.toLowerCase();
  if (WORDS.includes(wanted)) return [];
  return fields
    .map((field) => ({ ...field, rank: rank(field.name, wanted) }))
    .filter((field) => field.rank < 3)
    .sort((a, b) => a.rank - b.rank)
    .slice(0, MOST)
    .map(({ name, type, help }) => ({ text: name + (type === "number" || type === "date" ? " >= " : ":"), label: name, note: `${type} · ${help}` }));
}

export function valuesFor(values, typed) {
  const wanted = typed.toLowerCase();
  return values
    .filter(({ value }) => value.toLowerCase().includes(wanted) && value !== typed)
    .sort((a, b) => b.value.toLowerCase().startsWith(wanted) - a.value.toLowerCase().startsWith(wanted))
    .slice(0, MOST)
    .map(({ value, count }) => ({
      text: /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(value) && !WORDS.includes(value.toLowerCase()) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`,
      label: value,
      note: `${small(count)} events`,
    }));
}

async function find(place, fields, range) {
  if (place === null) return [];
  if (place.kind === "field") return fieldsFor(fields, place.typed);
  if (fields.find((field) => field.name === place.field)?.type !== "keyword") return [];
  return valuesFor(await getJson("/api/values", { field: place.field, ...range, size: 500 }), place.typed);
}

// { options, active, keyDown, close }: suggestions for `text` at the caret; `accept(text, caret)` puts a chosen one into the box.
export function useSuggestions(text, caret, range, accept) {
  const [fields, setFields] = useState([]);
  const [options, setOptions] = useState([]);
  const [active, setActive] = useState(-1);
  const typedAt = useRef(null);
  useEffect(() => void getJson("/api/fields").then(setFields, () => {}), []);
  useEffect(() => {
    let isStale = false;
    setActive(-1);
    const place = typedAt.current === null ? null : context(text, caret);
    find(place, fields, range).then(
      (found) => !isStale && setOptions(found.map((option) => ({ ...option, from: place.from }))),
      () => !isStale && setOptions([]),
    );
    return () => {
      isStale = true;
    };
  }, [text, caret, fields]);
  const close = () => {
    typedAt.current = null;
    setOptions([]);
  };
  const take = (option) => {
    const rest = text.slice(caret).replace(/^[\w.]*"?/, "");
    const head = text.slice(0, option.from) + option.text;
    accept(head + rest, head.length);
  };
  const keyDown = (event) => {
    if (!options.length) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setActive((old) => (old + step + options.length + (old < 0 && step < 0 ? 1 : 0)) % options.length);
    else if (event.key === "Escape") close();
    else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) take(options[active]);
    else return;
    event.preventDefault();
  };
  return { options, active, keyDown, close, take, typing: () => (typedAt.current = true) };
}

export function Suggestions({ id, options, active, take }) {
  if (!options.length) return null;
  return html`<ul class="suggestions" role="listbox" id=${id} aria-label="Suggestions">${options.map((option, i) => html`<li key=${option.label} role="option" id=${`${id}-${i}`}
    aria-selected=${i === active} onMouseDown=${(event) => {
      event.preventDefault();
      take(option);
    }}><code>${option.label}</code><span class="quiet">${option.note}</span></li>`)}</ul>`;
}
