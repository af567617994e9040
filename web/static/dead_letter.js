// One dead letter: why it could not go on, its bytes, and the ways to send it again.

import { html, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { postJson, useAnswer } from "./api.js";
import { count, time } from "./format.js";

export const replayedText = (replayed) => (replayed ? `${replayed.mended ? "mended and replayed" : "replayed"} ${time(replayed.time)} UTC` : "open");

export function Replayed({ replayed }) {
  return html`<span class=${`chip ${replayed ? "chip-positive" : "chip-warn"}`}>${replayedText(replayed)}</span>`;
}

// The text as one would read it: JSON with its fields on lines of their own, anything else as it is.
export function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Bytes({ letter }) {
  if (letter.hex === null) return html`<pre class="dead-bytes" dir="auto" tabindex="0" aria-label="The record as it came">${letter.text}</pre>`;
  return html`<p class="quiet">Not UTF-8. ${letter.cut ? "The first 16 KB:" : ""}</p>
    <pre class="dead-bytes dead-hex" tabindex="0" aria-label="The record's bytes">${letter.hex}</pre>`;
}

function Editor({ letter, send, busy }) {
  const begun = readable(letter.text ?? letter.proposed);
  const [text, setText] = useState(begun);
  const [editing, setEditing] = useState(false);
  if (!editing) return html`<button type="button" class="plain-button" onClick=${() => setEditing(true)}>Fix in the editor …</button>`;
  return html`<form class="dead-editor" onSubmit=${(event) => { event.preventDefault(); send({ text }); }}>
    <label for="dead-text">What is sent in its place</label>
    <textarea id="dead-text" class="query" rows="14" spellcheck=${false} dir="auto" value=${text} onInput=${(event) => setText(event.target.value)}></textarea>
    <div class="dead-acts"><button type="submit" class="primary" disabled=${busy || text === begun}>Replay the mended record</button>
      <button type="button" class="plain-button" onClick=${() => { setText(begun); setEditing(false); }}>Cancel</button></div>
  </form>`;
}

function Shown({ letter, place, changed }) {
  const [told, setTold] = useState(null);
  const [busy, setBusy] = useState(false);
  const send = (body) => {
    setBusy(true);
    postJson(`/api/dead/${encodeURIComponent(place)}/replay`, body)
      .then(() => setTold({ good: true, text: `Sent to ${letter.topic} again.` }), (error) => setTold({ good: false, text: error.message }))
      .finally(() => { setBusy(false); changed(); });
  };
  return html`
    <p class="panel-summary dead-reason" dir="auto">${letter.reason}</p>
    <dl class="facts">
      <dt>State</dt><dd><${Replayed} replayed=${letter.replayed} /></dd>
      <dt>Stage</dt><dd>${letter.stage}</dd>
      <dt>From</dt><dd>${letter.topic}${letter.offset >= 0 ? `, partition ${letter.partition}, offset ${letter.offset}` : ", before it came to a partition"}</dd>
      <dt>Failed</dt><dd><time datetime=${letter.time}>${time(letter.time)}</time> UTC</dd>
      <dt>Place</dt><dd><code>${place}</code></dd>
      <dt>Size</dt><dd>${count(letter.bytes)} bytes</dd>
    </dl>
    <h3>The record as it came</h3><${Bytes} letter=${letter} />
    <h3>Send it again</h3>
    ${told && html`<p class=${`notice ${told.good ? "" : "notice-bad"}`} role="status">${told.text}</p>`}
    <div class="dead-acts"><button type="button" class="plain-button" disabled=${busy} onClick=${() => send({})}>Replay as it was</button>
    ${(letter.text ?? letter.proposed) !== null && html`<${Editor} key=${place} letter=${letter} send=${send} busy=${busy} />`}</div>`;
}

export function DeadLetterPanel({ place, refresh, changed, close }) {
  const { answer, error } = useAnswer(`/api/dead/${encodeURIComponent(place)}`, {}, refresh);
  const panel = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    panel.current.focus();
    const escape = (event) => event.key === "Escape" && event.target.tagName !== "TEXTAREA" && close();
    window.addEventListener("keydown", escape);
    return () => {
      window.removeEventListener("keydown", escape);
      before?.focus?.();
    };
  }, []);
  return html`<aside class="panel" role="dialog" aria-labelledby="panel-title" tabindex="-1" ref=${panel}>
    <div class="panel-bar"><h2 id="panel-title">Dead letter${answer ? ` of ${answer.topic}` : ""}</h2>
      <button type="button" class="expand" aria-label="Close the dead letter" onClick=${close}>×</button></div>
    <div class="panel-body">${answer ? html`<${Shown} letter=${answer} place=${place} changed=${changed} />` : html`<p class="empty">${error ? error.message : "Loading …"}</p>`}</div>
  </aside>`;
}
