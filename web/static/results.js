// The events that a search found: their order, their pages, and the lines themselves.

import { html, useMemo } from "./vendor/htm/standalone.module.js";
import { Event } from "./event.js";
import { count } from "./format.js";
import { matcher } from "./highlight.js";

const PAGE = 25;
const MAX_WINDOW = 10000; // as the server: deeper pages need a narrower range
const ORDERS = [
  ["time:desc", "Newest first"],
  ["time:asc", "Oldest first"],
  ["sentiment.score:asc", "Worst sentiment first"],
  ["sentiment.score:desc", "Best sentiment first"],
  ["fraud_score:desc", "Highest fraud score first"],
  ["amount:desc", "Largest amount first"],
  ["followers:desc", "Most followers first"],
];

function Pages({ total, offset, go }) {
  const last = Math.min(total, MAX_WINDOW);
  if (total <= PAGE) return null;
  const to = (next) => {
    go({ offset: String(next), event: "" });
    document.getElementById("results").scrollIntoView({ block: "start" });
  };
  return html`<nav class="pages" aria-label="Pages of results">
    <button type="button" disabled=${offset === 0} onClick=${() => to(Math.max(0, offset - PAGE))}>Previous</button>
    <span>${count(offset + 1)} to ${count(Math.min(offset + PAGE, last))} of ${count(total)}</span>
    <button type="button" disabled=${offset + PAGE >= last} onClick=${() => to(offset + PAGE)}>Next</button>
  </nav>`;
}

function Empty({ found, state }) {
  if (found.error) return html`<p class="empty">${found.error.position === null ? "The search failed; see the message above." : "Correct the query to see events."}</p>`;
  if (!found.answer) return html`<p class="empty">Searching …</p>`;
  if (state.q || state.from || state.to || state.last) return html`<p class="empty">No event matches. Try fewer words, or a wider range of time.</p>`;
  return html`<p class="empty">No events yet. They appear here as soon as the first ones are scored.</p>`;
}

export function Results({ found, state, go, filter, newer, catchUp }) {
  const answer = found.error ? null : found.answer;
  const hits = answer?.hits ?? [];
  const words = useMemo(() => matcher(answer?.highlight ?? []), [JSON.stringify(answer?.highlight)]);
  const offset = Number(state.offset) || 0;
  return html`<section class="card" id="results" aria-labelledby="results-title" aria-busy=${found.loading}>
    <div class="card-bar">
      <h2 id="results-title">Events</h2>
      ${newer > 0 && html`<button type="button" class="chip chip-new" onClick=${catchUp}>Newer events arrived: show</button>`}
      <span class="grow"></span>
      <button type="button" class="toggle" aria-pressed=${state.live === "1"} title="Show new events as they are scored"
        onClick=${() => go({ live: state.live === "1" ? "0" : "1" }, { quietly: true })}>Follow</button>
      <label class="order"><span class="visually-hidden">Order</span><select value=${state.sort} onChange=${(event) => go({ sort: event.currentTarget.value, offset: "0", event: "" })}>
        ${ORDERS.map(([value, label]) => html`<option key=${value} value=${value} selected=${value === state.sort}>${label}</option>`)}</select></label>
    </div>
    ${hits.length === 0 ? html`<${Empty} found=${found} state=${state} />` : html`<ol class=${`events ${found.loading ? "events-old" : ""}`}>
      ${hits.map((hit) => html`<${Event} key=${hit.id} hit=${hit} found=${words} filter=${filter} opened=${state.event === hit.id}
        toggle=${() => go({ event: state.event === hit.id ? "" : hit.id }, { quietly: true })} />`)}</ol>`}
    ${answer && html`<${Pages} total=${answer.total} offset=${offset} go=${go} />`}
  </section>`;
}
