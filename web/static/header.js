// The header: what the pipeline does at this second.

import { html } from "./vendor/htm/standalone.module.js";
import { count, rate, small } from "./format.js";

const FIGURES = [
  { name: "read", title: "Raw records taken from the topics" },
  { name: "scored", title: "Records that a model scored" },
  { name: "indexed", title: "Scored events that can be searched" },
  { name: "dead", title: "Records in the dead-letter topics: they could not be decoded or scored", bad: true },
  { name: "backlog", title: "Records that wait for their consumers" },
];

// The last minute as a line, scaled to its own highest value.
function Sparkline({ values }) {
  if (values.length < 2) return null;
  const top = Math.max(...values, 1);
  const points = values.map((value, i) => `${((i / (values.length - 1)) * 58 + 1).toFixed(1)},${(19 - (value / top) * 17).toFixed(1)}`);
  return html`<svg class="spark" viewBox="0 0 60 20" aria-hidden="true"><polyline points=${points.join(" ")} /></svg>`;
}

function Figure({ label, value, title, bad }) {
  return html`<div class=${`figure ${bad ? "figure-bad" : ""}`} title=${title}><dt>${label}</dt><dd>${value}</dd></div>`;
}

function DeadTab({ open, shown, show }) {
  const click = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(!shown);
  };
  return html`<a class=${`tab ${open > 0 ? "tab-bad" : ""}`} href=${shown ? "/" : "/?dead=1"} onClick=${click}
    title=${shown ? "Back to the search" : "Records that could not go on and were not replayed"}>${shown ? "Back to the search" : html`Dead letters <b>${open === undefined ? "" : count(open)}</b>`}</a>`;
}

export function Header({ live, dead, showDead }) {
  const tick = live.ticks[live.ticks.length - 1];
  const counters = tick?.counters ?? {};
  const open = tick?.alerts?.active;
  const speed = live.ticks.map((each) => each.counters.events_per_second ?? 0);
  const status = !live.connected ? "Reconnecting" : live.trouble ? "Degraded" : "Live";
  return html`<header class="top">
    <a class="brand" href="/"><img src="/static/icon.svg" alt="" width="26" height="26" /><h1>Groundswell</h1></a>
    <dl class="figures" aria-label="Pipeline counters">
      ${FIGURES.map(({ name, title, bad }) => html`<${Figure} key=${name} label=${name} title=${title}
        value=${name in counters ? count(counters[name]) : "–"} bad=${bad && counters[name] > 0} />`)}
      <${Figure} label="active alerts" value=${open === undefined ? "–" : count(open)} title="Alerts that are open now" bad=${open > 0} />
      <div class="figure figure-wide" title="Events scored in a second, over the last minute">
        <dt>events/s</dt><dd>${"events_per_second" in counters ? (counters.events_per_second < 100 ? rate : small)(counters.events_per_second) : "–"} <${Sparkline} values=${speed} /></dd>
      </div>
    </dl>
    <${DeadTab} open=${counters.dead_open} shown=${dead} show=${showDead} />
    <span class=${`status status-${status.toLowerCase()}`} role="status" title=${live.trouble ?? "The connection to the server"}>${status}</span>
  </header>
  ${live.trouble && html`<p class="notice notice-bad" role="alert">${live.trouble}</p>`}`;
}
