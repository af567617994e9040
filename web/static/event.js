// One scored event: a line of the results, and all of its fields when opened.

import { html, useState } from "./vendor/htm/standalone.module.js";
import { dayAndClock, percent, signed } from "./format.js";
import { excerpt, marked } from "./highlight.js";
import { clause, leaves } from "./kql.js";

const EXCERPT = 320;

export function SentimentChip({ sentiment, filter }) {
  const text = `${sentiment.label} ${signed(sentiment.score)}`;
  const title = `negative ${percent(sentiment.negative)}, neutral ${percent(sentiment.neutral)}, positive ${percent(sentiment.positive)}`;
  const look = `chip chip-${sentiment.label}`;
  if (!filter) return html`<span class=${look} title=${title}>${text}</span>`;
  return html`<button type="button" class=${look} title=${`${title}; click to filter`} onClick=${() => filter(clause("sentiment.label", sentiment.label))}>${text}</button>`;
}

export function FraudChip({ score }) {
  const level = score >= 0.9 ? "negative" : score >= 0.5 ? "warn" : "neutral";
  return html`<span class=${`chip chip-${level}`} title="Probability of fraud, 0 to 1, higher = riskier">fraud ${score.toFixed(2)}</span>`;
}

export function When({ text }) {
  const { day, clock } = dayAndClock(text);
  return html`<time datetime=${text} title=${`${day} ${clock} UTC, event time`}><span>${day}</span> <span>${clock}</span></time>`;
}

export function headline(hit) {
  if (hit.kind === "transaction") return `${hit.amount.toLocaleString("en-US", { minimumFractionDigits: 2 })} ${hit.currency}`;
  return hit.title || hit.text || hit.body || hit.id;
}

function Payment({ hit, filter }) {
  const place = (label, field, value) => html`<button type="button" class="link" title="Filter" onClick=${() => filter(clause(field, value))}>${label} ${value}</button>`;
  return html`<p class="event-title">${headline(hit)}</p>
    <p class="event-body">${place("customer", "customer_id", hit.customer_id)} → ${place("terminal", "terminal_id", hit.terminal_id)}${hit.channel && ` · ${hit.channel}`}${hit.country && ` · ${hit.country}`}</p>
    ${hit.reasons?.length > 0 && html`<ul class="reasons">${hit.reasons.map((reason) => html`<li key=${reason}>${reason}</li>`)}</ul>`}`;
}

function Writing({ hit, found }) {
  const body = hit.title ? hit.body || hit.text : null;
  return html`<p class=${hit.title ? "event-title" : "event-text"} lang=${hit.lang} dir="auto">${marked(excerpt(headline(hit), found, EXCERPT), found)}</p>
    ${body && html`<p class="event-body" lang=${hit.lang} dir="auto">${marked(excerpt(body, found, EXCERPT), found)}</p>`}`;
}

function Chips({ hit, filter }) {
  if (hit.kind === "transaction") return html`<${FraudChip} score=${hit.fraud_score} />`;
  const named = new Map((hit.entities ?? []).map((entity) => [entity.id, entity]));
  return html`
    ${hit.sentiment ? html`<${SentimentChip} sentiment=${hit.sentiment} filter=${filter} />` : html`<span class="chip chip-quiet" title=${hit.reason ?? ""}>no score</span>`}
    ${hit.topic && html`<button type="button" class="chip" title=${`topic, ${percent(hit.topic.score)} sure; click to filter`} onClick=${() => filter(clause("topic.label", hit.topic.label))}>${hit.topic.label}</button>`}
    ${(hit.topic?.labels ?? []).filter((label) => label !== hit.topic.label).map((label) => html`<button type="button" class="chip" key=${label} title="also about this; click to filter"
      onClick=${() => filter(clause("topic.labels", label))}>${label}</button>`)}
    ${[...named.values()].slice(0, 6).map((entity) => html`<button type="button" class="chip chip-entity" key=${entity.id} title=${`${entity.id}, named as “${entity.mention}”; click to filter`}
      onClick=${() => filter(clause("entities.id", entity.id))}>${entity.name}</button>`)}
    ${named.size > 6 && html`<span class="chip chip-quiet">+${named.size - 6}</span>`}`;
}

export function Event({ hit, found, filter, opened, toggle }) {
  const id = `event-${hit.id}`;
  return html`<li class=${`event event-${hit.sentiment?.label ?? (hit.fraud_score >= 0.9 ? "negative" : "none")} ${opened ? "event-open" : ""}`}>
    <div class="event-row">
      <div class="event-when"><${When} text=${hit.time} />
        <p class="event-source">${hit.kind}${hit.lang && ` · ${hit.lang}`}</p>
        ${hit.source && html`<p class="event-source"><button type="button" class="link" title="Filter by source" onClick=${() => filter(clause("source", hit.source))}>${hit.source}</button></p>`}</div>
      <div class="event-what">${hit.kind === "transaction" ? html`<${Payment} hit=${hit} filter=${filter} />` : html`<${Writing} hit=${hit} found=${found} />`}
        <div class="chips"><${Chips} hit=${hit} filter=${filter} /></div></div>
      <button type="button" class="expand" aria-expanded=${opened} aria-controls=${id} aria-label=${opened ? "Hide all fields" : "Show all fields"} onClick=${toggle}>${opened ? "−" : "+"}</button>
    </div>
    ${opened && html`<div id=${id}><${Fields} hit=${hit} filter=${filter} /></div>`}
  </li>`;
}

function Fields({ hit, filter }) {
  const [view, setView] = useState("table");
  const tab = (name, label) => html`<button type="button" aria-pressed=${view === name} onClick=${() => setView(name)}>${label}</button>`;
  return html`<div class="fields">
    <div class="fields-bar"><div class="segments">${tab("table", "Table")}${tab("json", "JSON")}</div>
      <a href=${`/api/events/${encodeURIComponent(hit.id)}`} target="_blank" rel="noopener">Open as JSON</a>
      ${/^https?:\/\//i.test(hit.url ?? "") && html`<a href=${hit.url} target="_blank" rel="noopener noreferrer nofollow">Original</a>`}</div>
    ${view === "json" ? html`<pre tabindex="0">${JSON.stringify(hit, null, 2)}</pre>` : html`<table>
      <tbody>${leaves(hit).map(([field, value], i) => html`<tr key=${`${field}${i}`}><th scope="row">${field}</th>
        <td class="fields-act"><button type="button" aria-label=${`Only events with this ${field}`} title="Only events with this value" onClick=${() => filter(clause(field, value))}>+</button>
          <button type="button" aria-label=${`Without events with this ${field}`} title="Without events with this value" onClick=${() => filter(clause(field, value), { negate: true })}>−</button></td>
        <td dir="auto">${String(value)}</td></tr>`)}</tbody></table>`}
  </div>`;
}
