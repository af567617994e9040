// The records that could not go on: found by topic, stage and words of the reason, opened one by one, or all replayed at once.

import { html, useEffect, useState } from "./vendor/htm/standalone.module.js";
import { postJson, useAnswer } from "./api.js";
import { DeadLetterPanel, Replayed } from "./dead_letter.js";
import { When } from "./event.js";
import { count } from "./format.js";

const PAGE = 50;

// What is asked for, in words; the question before all of it is sent again holds them.
export function chosenText({ topic, stage, reason }) {
  const parts = [topic && `of ${topic}`, stage && `that failed in ${stage}`, reason.trim() && `whose reason says “${reason.trim()}”`];
  return parts.filter(Boolean).join(" ");
}

function Choice({ label, value, values, change }) {
  return html`<label class="time">${label} <select value=${value} onChange=${(event) => change(event.target.value)}>
    <option value="">all</option>${values.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>`;
}

function ReplayAll({ asked, open, done }) {
  const [told, setTold] = useState(null);
  const [busy, setBusy] = useState(false);
  const chosen = chosenText(asked);
  useEffect(() => setTold(null), [chosen]);
  const send = () => {
    if (!window.confirm(`Send ${count(open)} open dead letters ${chosen} again, as they were?`)) return;
    setBusy(true);
    postJson("/api/dead/replay", { topic: asked.topic, stage: asked.stage, reason: asked.reason })
      .then(({ sent, left }) => setTold({ good: true, text: `${count(sent)} sent again${left ? `; ${count(left)} are left` : ""}.` }), (error) => setTold({ good: false, text: error.message }))
      .finally(() => { setBusy(false); done(); });
  };
  return html`<button type="button" class="plain-button" disabled=${busy || !chosen || !open} onClick=${send}
      title=${chosen ? "" : "Choose a topic, a stage or words of the reason first"}>Replay all ${chosen ? `${count(open)} open …` : "…"}</button>
    ${told && html`<span class=${`chip ${told.good ? "chip-positive" : "chip-negative"}`} role="status" title=${told.text}>${told.text}</span>`}`;
}

function Letter({ letter, opened, open }) {
  return html`<li><button type="button" class="dead-row" aria-pressed=${opened} onClick=${() => open(letter.place)}>
    <span class="event-when"><${When} text=${letter.time} /></span>
    <span class="event-what"><span class="event-title" dir="auto">${letter.reason}</span><code class="dead-begins" dir="auto">${letter.begins}</code>
      <span class="chips"><span class="chip">${letter.topic}</span><span class="chip">${letter.stage}</span><${Replayed} replayed=${letter.replayed} />
        <span class="quiet">${count(letter.bytes)} bytes</span></span></span>
  </button></li>`;
}

function Letters({ found, state, go, offset, setOffset }) {
  const { answer, error } = found;
  if (!answer) return html`<p class="empty">${error ? error.message : "Loading …"}</p>`;
  if (!answer.enabled) return html`<p class="empty">This server shows no dead letters.</p>`;
  if (!answer.letters.length) return html`<p class="empty">${answer.kept ? "No dead letter matches." : "There are no dead letters: every record went on."}</p>`;
  return html`<ol>${answer.letters.map((letter) => html`<${Letter} key=${letter.place} letter=${letter} opened=${letter.place === state.letter} open=${(place) => go({ letter: place })} />`)}</ol>
    ${answer.total > PAGE && html`<nav class="pages" aria-label="Pages of dead letters">
      <button type="button" disabled=${offset === 0} onClick=${() => setOffset(Math.max(0, offset - PAGE))}>Previous</button>
      <span>${count(offset + 1)} to ${count(Math.min(offset + PAGE, answer.total))} of ${count(answer.total)}</span>
      <button type="button" disabled=${offset + PAGE >= answer.total} onClick=${() => setOffset(offset + PAGE)}>Next</button></nav>`}`;
}

export function DeadLetters({ state, go, tick }) {
  const [asked, setAsked] = useState({ topic: "", stage: "", reason: "", open: "1" });
  const [offset, setOffset] = useState(0);
  const [done, setDone] = useState(0);
  const changed = () => setDone((old) => old + 1);
  const change = (changes) => {
    setAsked((old) => ({ ...old, ...changes }));
    setOffset(0);
  };
  const refresh = `${tick} ${done}`;
  const found = useAnswer("/api/dead", { ...asked, limit: PAGE, offset }, refresh);
  const opens = useAnswer("/api/dead", { ...asked, open: "1", limit: 1 }, refresh);
  const answer = found.answer;
  return html`<main class="dead">
    <section class="card" aria-labelledby="dead-title">
      <div class="card-bar"><h2 id="dead-title">Dead letters</h2>
        <span class="quiet">${answer?.enabled ? `${count(answer.open)} open of ${answer.older ? "the newest " : ""}${count(answer.kept)}` : ""}</span><span class="grow"></span>
        <${ReplayAll} asked=${asked} open=${opens.answer?.total ?? 0} done=${changed} /></div>
      <div class="card-bar order">
        <${Choice} label="Topic" value=${asked.topic} values=${answer?.topics ?? []} change=${(topic) => change({ topic })} />
        <${Choice} label="Stage" value=${asked.stage} values=${answer?.stages ?? []} change=${(stage) => change({ stage })} />
        <label class="time">Words in the reason <input type="search" maxlength="500" value=${asked.reason} onInput=${(event) => change({ reason: event.target.value })} /></label>
        <button type="button" class="toggle" aria-pressed=${asked.open === "1"} onClick=${() => change({ open: asked.open ? "" : "1" })}>Open only</button>
        ${found.error && answer && html`<span class="chip chip-negative" role="alert">${found.error.message}</span>`}
      </div>
      <${Letters} found=${found} state=${state} go=${go} offset=${offset} setOffset=${setOffset} />
    </section>
    ${state.letter && html`<${DeadLetterPanel} key=${state.letter} place=${state.letter} refresh=${done} changed=${changed} close=${() => go({ letter: "" })} />`}
  </main>`;
}
