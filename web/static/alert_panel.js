// One alert explained: the numbers that decided, the events behind them, and what was delivered to whom.

import { html, useEffect, useRef } from "./vendor/htm/standalone.module.js";
import { useAnswer } from "./api.js";
import { Severity, groupText } from "./alerts.js";
import { FraudChip, SentimentChip, When, headline } from "./event.js";
import { elapsed, plain, time } from "./format.js";

const words = (name) => name.replace(/_/g, " ");
const value = (item) => (typeof item === "string" && /^\d{4}-\d\d-\d\dT/.test(item) ? `${time(item)} UTC` : plain(item));

function Evidence({ evidence }) {
  return html`<table class="evidence"><tbody>${Object.entries(evidence).map(([name, item]) => html`<tr key=${name}><th scope="row">${words(name)}</th><td>${value(item)}</td></tr>`)}</tbody></table>`;
}

function Transitions({ transitions }) {
  return html`<ol class="timeline">${transitions.map((each) => html`<li key=${each.id} class=${`timeline-${each.state}`}>
    <strong>${each.state === "active" ? "Fired" : "Resolved"}</strong> <time datetime=${each.time}>${time(each.time)}</time>
    <span class="quiet"> ${each.reason}; decided ${time(each.decided)}</span></li>`)}</ol>`;
}

function Events({ events, missing }) {
  return html`<ol class="behind">${events.map((hit) => html`<li key=${hit.id}>
      <p dir="auto" lang=${hit.lang ?? "en"}>${headline(hit)}</p>
      <div class="chips"><span class="quiet"><${When} text=${hit.time} />${hit.source ? ` · ${hit.source}` : ""}</span>
        ${hit.sentiment && html`<${SentimentChip} sentiment=${hit.sentiment} />`}${hit.fraud_score !== undefined && html`<${FraudChip} score=${hit.fraud_score} />`}</div>
    </li>`)}</ol>
    ${missing > 0 && html`<p class="quiet">${missing} more ${missing === 1 ? "is" : "are"} not in the index (yet).</p>`}`;
}

function Deliveries({ deliveries }) {
  if (!deliveries.length) return html`<p class="quiet">The rule names no receiver; the alert shows only here.</p>`;
  return html`<table class="deliveries"><thead><tr><th scope="col">Receiver</th><th scope="col">Status</th><th scope="col">Attempts</th><th scope="col">When</th></tr></thead>
    <tbody>${deliveries.map((each) => html`<tr key=${each.id}><td>${each.receiver}</td>
      <td><span class=${`chip chip-${{ delivered: "positive", failed: "negative" }[each.status] ?? "warn"}`}>${each.status}</span></td><td>${each.attempts}</td>
      <td>${each.delivered_at ? time(each.delivered_at) : each.next_attempt ? `next ${time(each.next_attempt)}` : "–"}${each.last_error && html`<div class="quiet">${each.last_error}</div>`}</td></tr>`)}</tbody></table>`;
}

function Explained({ answer, run }) {
  const { alert, transitions, deliveries, events } = answer;
  const fired = transitions.find((each) => each.state === "active") ?? transitions[0];
  return html`
    <p class="panel-summary" dir="auto">${alert.summary}</p>
    <dl class="facts">
      <dt>Fired</dt><dd>${time(alert.opened)} UTC, event time</dd>
      <dt>State</dt><dd>${alert.state === "active" ? "active" : `resolved ${alert.resolved ? `${time(alert.resolved)} UTC, after ${elapsed(alert.opened, alert.resolved)}` : ""}`}</dd>
      ${Object.keys(alert.group ?? {}).length > 0 && html`<dt>Group</dt><dd>${groupText(alert.group)}</dd>`}
      ${fired && html`<dt>Why</dt><dd>${fired.reason}</dd>`}
    </dl>
    ${fired && html`<h3>Numbers that decided</h3><${Evidence} evidence=${fired.evidence} />
      <h3>Query</h3><pre class="panel-query">${fired.query}</pre>
      <p><button type="button" class="primary" onClick=${() => run(fired.query)}>Show these events in the search</button></p>`}
    <h3>Events behind it</h3><${Events} events=${events} missing=${answer.missing_events.length} />
    <h3>History</h3><${Transitions} transitions=${transitions} />
    <h3>Deliveries</h3><${Deliveries} deliveries=${deliveries} />`;
}

export function AlertPanel({ id, refresh, close, run }) {
  const { answer, error } = useAnswer(`/api/alerts/${encodeURIComponent(id)}`, {}, refresh);
  const panel = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    panel.current.focus();
    const escape = (event) => event.key === "Escape" && close();
    window.addEventListener("keydown", escape);
    return () => {
      window.removeEventListener("keydown", escape);
      before?.focus?.();
    };
  }, []);
  return html`<aside class="panel" role="dialog" aria-labelledby="panel-title" tabindex="-1" ref=${panel}>
    <div class="panel-bar">${answer && html`<${Severity} alert=${answer.alert} />`}<h2 id="panel-title">${answer ? answer.alert.rule : "Alert"}</h2>
      <button type="button" class="expand" aria-label="Close the alert" onClick=${close}>×</button></div>
    <div class="panel-body">${answer ? html`<${Explained} answer=${answer} run=${run} />` : html`<p class="empty">${error ? error.message : "Loading …"}</p>`}</div>
  </aside>`;
}
