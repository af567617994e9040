// The search box with its examples and errors, and the range of event time.

import { html, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { count, time } from "./format.js";
import { Suggestions, useSuggestions } from "./suggest.js";

const EXAMPLES = [
  ["Bad news about a company", "sentiment.label:negative and entities.id:*"],
  ["Strongly negative", "sentiment.score < -0.8"],
  ["Likely fraud", "kind:transaction and fraud_score >= 0.9"],
  ["Insolvency", 'bankrupt* or insolven* or "chapter 11"'],
  ["Chinese texts", "lang:zh and kind:(news or social)"],
  ["恒大", "恒大"],
  ["No score", "kind:(news or social) and not sentiment.label:*"],
];

// The server counts characters, a JavaScript string counts UTF-16 units: they differ after an emoji.
const unitsBefore = (query, position) => [...query].slice(0, position).join("").length;

// A message with its `code` set apart.
const message = (text) => text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));

// The query drawn invisibly over the box, with only the place of the error underlined.
function ErrorMirror({ query, position, scroll }) {
  const at = unitsBefore(query, position);
  const rest = query.slice(at);
  const bad = rest.match(/^\s*\S+/)?.[0] || " ";
  return html`<div class="mirror" aria-hidden="true"><span class="mirror-text" style=${{ transform: `translateX(${-scroll}px)` }}
    >${query.slice(0, at)}<u>${bad}</u>${rest.slice(bad.length)}</span></div>`;
}

function Outcome({ found, query }) {
  const { answer, error, loading } = found;
  if (error && error.position !== null) {
    return html`<p class="outcome outcome-bad" role="alert" id="outcome">${message(error.message)} <span class="quiet">(position ${error.position})</span></p>`;
  }
  if (error) return html`<p class="outcome outcome-bad" role="alert" id="outcome">${error.message}</p>`;
  if (!answer) return html`<p class="outcome" id="outcome">${loading ? "Searching …" : ""}</p>`;
  return html`<p class="outcome" id="outcome" role="status">
    <strong>${count(answer.total)}</strong> ${answer.total === 1 ? "event" : "events"} in ${answer.took_ms} ms
    ${query.trim() && answer.explained && html`<span class="explained"> · ${answer.explained}</span>`}
    ${answer.warnings.map((warning) => html`<span class="warning" key=${warning}>${message(warning)}</span>`)}
  </p>`;
}

// An editable time that is applied on Enter or on leaving it; UTC, as everything on the page.
function TimeInput({ label, value, fallback, apply }) {
  const shown = value ? time(value) : "";
  const [text, setText] = useState(shown);
  useEffect(() => setText(shown), [shown]);
  const commit = () => {
    const typed = text.trim();
    if (typed === shown) return;
    apply(typed && (/[zZ]$|[+-]\d\d:?\d\d$/.test(typed) ? typed : `${typed.replace(" ", "T")}${typed.includes(":") ? "Z" : ""}`));
  };
  return html`<label class="time"><span>${label}</span><input type="text" value=${text} placeholder=${fallback ? time(fallback) : "any time"}
    spellcheck=${false} autocomplete="off" onInput=${(event) => setText(event.currentTarget.value)} onBlur=${commit}
    onKeyDown=${(event) => event.key === "Enter" && commit()} /></label>`;
}

function TimeRange({ state, search, data }) {
  const quick = [["All", ""], ["Last 24 h of data", "24h"], ["7 d", "7d"], ["30 d", "30d"]];
  const isFree = state.from || state.to;
  return html`<div class="range" role="group" aria-label="Range of event time, UTC">
    <div class="segments">${quick.map(([label, last]) => html`<button type="button" key=${last} aria-pressed=${!isFree && state.last === last}
      onClick=${() => search({ last, from: "", to: "" })}>${label}</button>`)}</div>
    <${TimeInput} label="From" value=${state.from} fallback=${data?.from} apply=${(from) => search({ from, last: "" })} />
    <${TimeInput} label="To" value=${state.to} fallback=${data?.to} apply=${(to) => search({ to, last: "" })} />
    <span class="zone">UTC</span>
  </div>`;
}

// A "/" typed anywhere on the page goes to the search box.
function useSlash(input) {
  useEffect(() => {
    const slash = (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) {
        event.preventDefault();
        input.current.focus();
      }
    };
    window.addEventListener("keydown", slash);
    return () => window.removeEventListener("keydown", slash);
  }, []);
}

function QueryBox({ query, error, range, submit }) {
  const [{ text, caret }, setTyped] = useState({ text: query, caret: query.length });
  const [scroll, setScroll] = useState(0);
  const input = useRef(null);
  const accepted = useRef(null);
  useEffect(() => setTyped({ text: query, caret: query.length }), [query]);
  useEffect(() => {
    if (accepted.current !== null) input.current.setSelectionRange(accepted.current, accepted.current);
    accepted.current = null;
  });
  useSlash(input);
  const suggest = useSuggestions(text, caret, range, (next, at) => {
    accepted.current = at;
    setTyped({ text: next, caret: at });
  });
  const isBad = error?.position !== null && error?.position !== undefined && text === query;
  return html`<form role="search" class="ask-form" onSubmit=${(event) => {
    event.preventDefault();
    suggest.close();
    submit(text);
  }}>
    <div class=${`box ${isBad ? "box-bad" : ""}`}>
      <input ref=${input} class="query" type="search" value=${text} spellcheck=${false} autocomplete="off" aria-label="Query in KQL"
        role="combobox" aria-expanded=${suggest.options.length > 0} aria-controls="suggestions" aria-autocomplete="list"
        aria-activedescendant=${suggest.active >= 0 ? `suggestions-${suggest.active}` : undefined} aria-invalid=${isBad} aria-describedby="outcome"
        placeholder='Search with KQL: words, "a phrase", sentiment.label:negative, fraud_score >= 0.9'
        onInput=${(event) => {
          suggest.typing();
          setTyped({ text: event.currentTarget.value, caret: event.currentTarget.selectionStart });
        }}
        onKeyDown=${suggest.keyDown} onBlur=${suggest.close} onScroll=${(event) => setScroll(event.currentTarget.scrollLeft)} />
      ${isBad && html`<${ErrorMirror} query=${text} position=${error.position} scroll=${scroll} />`}
      <${Suggestions} id="suggestions" options=${suggest.options} active=${suggest.active} take=${suggest.take} />
    </div>
    <button class="primary" type="submit">Search</button>
  </form>`;
}

export function SearchBar({ state, search, found, data }) {
  const range = { from: state.from, to: state.to, last: state.last };
  return html`<section class="ask" aria-label="Search">
    <${QueryBox} query=${state.q} error=${found.error} range=${range} submit=${(q) => search({ q })} />
    <div class="ask-row">
      <${Outcome} found=${found} query=${state.q} />
      <${TimeRange} state=${state} search=${search} data=${data} />
    </div>
    <div class="examples" role="group" aria-label="Example queries">${EXAMPLES.map(([label, q]) => html`<button type="button" class="chip" key=${q} title=${q}
      aria-pressed=${state.q === q} onClick=${() => search({ q: state.q === q ? "" : q })}>${label}</button>`)}</div>
  </section>`;
}
