// The newest alerts, each a button that opens its explanation.

import { html } from "./vendor/htm/standalone.module.js";
import { time } from "./format.js";

export const groupText = (group) => Object.entries(group ?? {}).map(([field, value]) => `${field} ${value}`).join(", ");

export function Severity({ alert }) {
  return html`<span class=${`severity severity-${alert.severity}`}>${alert.severity}</span>`;
}

function Alert({ alert, opened, open }) {
  return html`<li>
    <button type="button" class=${`alert alert-${alert.severity} alert-${alert.state}`} aria-pressed=${opened} onClick=${() => open(alert.alert_id)}>
      <span class="alert-bar"><${Severity} alert=${alert} /><span class="alert-rule">${alert.rule}</span></span>
      <span class="alert-summary" dir="auto">${alert.summary}</span>
      <span class="alert-meta"><time datetime=${alert.opened}>${time(alert.opened)}</time>${alert.state !== "active" && html`<span>resolved</span>`}<span>${groupText(alert.group)}</span></span>
    </button>
  </li>`;
}

export function AlertList({ alerts, opened, open }) {
  const list = alerts.answer?.alerts ?? [];
  const active = list.filter((alert) => alert.state === "active").length;
  return html`<aside class="card alerts" aria-labelledby="alerts-title">
    <div class="card-bar"><h2 id="alerts-title">Alerts</h2><span class="quiet">${list.length ? `${active} active of the newest ${list.length}` : ""}</span></div>
    ${list.length
      ? html`<ol>${list.map((alert) => html`<${Alert} key=${alert.alert_id} alert=${alert} opened=${alert.alert_id === opened} open=${open} />`)}</ol>`
      : html`<p class="empty">${alerts.error ? alerts.error.message : alerts.loading ? "Loading …" : alerts.answer?.enabled === false ? "Alerts are not enabled on this server." : "No alert has fired."}</p>`}
  </aside>`;
}
