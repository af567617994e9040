// Sentiment over time by topic: lines over faint bars of volume, with the alerts marked where they fired.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm/standalone.module.js";
import { draw } from "./chart.js";
import { count, interval, percent, signed, time } from "./format.js";

const LEAST_SCORED = 3; // a share of one or two texts jumps between 0 and 100 %; such points are left out
const SHOWN_AT_FIRST = 3;
const METRICS = {
  negative_share: { label: "Negative share", text: percent },
  average_score: { label: "Average sentiment", text: signed },
  count: { label: "Events", text: count },
};

// One bound for all lines; 1 where most intervals are that thin, since then such points are all there is to see.
function leastScored(trend) {
  const scored = trend.all.scored.filter((number) => number > 0);
  return scored.filter((number) => number >= LEAST_SCORED).length * 2 >= scored.length ? LEAST_SCORED : 1;
}

function known(series, metric, least) {
  if (metric === "count") return series.count;
  return series[metric].map((value, i) => (series.scored[i] >= least ? value : null));
}

// The whole range's value of a series: a sum, or an average weighted by the texts scored.
function overall(series, metric) {
  if (metric === "count") return series.total;
  let sum = 0;
  let weight = 0;
  series[metric].forEach((value, i) => {
    if (value !== null) {
      sum += value * series.scored[i];
      weight += series.scored[i];
    }
  });
  return weight ? sum / weight : null;
}

function Key({ series, colour, shown, toggle, value, text }) {
  return html`<button type="button" class="key" aria-pressed=${shown} onClick=${toggle} title=${`${series.label}: ${count(series.total)} events; click to ${shown ? "hide" : "show"}`}>
    <span class="swatch" style=${{ background: colour }}></span><span class="key-label">${series.label === "all" ? "All" : series.label}</span>
    <span class="key-value">${value === null || value === undefined ? "–" : text(value)}</span></button>`;
}

function useColours() {
  const read = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { all: of("--text"), topics: Array.from({ length: 8 }, (_, i) => of(`--topic-${i}`)), muted: of("--muted"), grid: of("--line"),
      volume: of("--volume"), rest: of("--rest"), alerts: { critical: of("--critical"), warning: of("--warning"), info: of("--info") } };
  };
  const [colours, setColours] = useState(read);
  useEffect(() => {
    const scheme = window.matchMedia("(prefers-color-scheme: dark)");
    const change = () => setColours(read());
    scheme.addEventListener("change", change);
    return () => scheme.removeEventListener("change", change);
  }, []);
  return colours;
}

function Chart({ trend, lines, metric, colours, alerts, point, zoom }) {
  const place = useRef(null);
  const described = `${METRICS[metric].label} per ${interval(trend.interval_s)}, ${time(trend.times[0] * 1000)} to ${time(trend.times[trend.times.length - 1] * 1000)} UTC`;
  useEffect(() => {
    const chart = draw(place.current, { trend, lines, metric, colours, alerts, point, zoom, text: METRICS[metric].text });
    const resized = new ResizeObserver(() => chart.setSize({ width: place.current.clientWidth, height: place.current.clientHeight }));
    resized.observe(place.current);
    return () => {
      resized.disconnect();
      chart.destroy();
    };
  }, [trend, lines, metric, colours, alerts]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${described}></div>`;
}

export function Trend({ answer, state, go, search, alerts }) {
  const colours = useColours();
  const [at, setAt] = useState(null);
  const trend = answer.answer?.trend;
  const hasSentiment = trend?.times.length ? trend.all.scored.some((scored) => scored > 0) : true;
  const metric = hasSentiment && state.metric in METRICS ? state.metric : hasSentiment ? "negative_share" : "count"; // payments have no sentiment
  const { text } = METRICS[metric];
  const least = trend ? leastScored(trend) : LEAST_SCORED;
  const all = trend ? [trend.all, ...trend.topics] : [];
  const hidden = new Set(state.topics === "" ? all.slice(SHOWN_AT_FIRST + 1).map((each) => each.label) : state.topics.split("|"));
  const places = useRef(new Map()); // a topic keeps its colour while others overtake it
  const colour = ({ label }, i) => {
    if (i === 0) return metric === "count" ? colours.rest : colours.all;
    if (!places.current.has(label)) places.current.set(label, places.current.size);
    return colours.topics[places.current.get(label) % colours.topics.length];
  };
  const lines = useMemo(
    () => all.map((series, i) => ({ series, colour: colour(series, i), values: known(series, metric, least) })).filter(({ series }) => !hidden.has(series.label)),
    [trend, metric, colours, state.topics],
  );
  const toggle = (label) => {
    const next = new Set(hidden);
    if (!next.delete(label)) next.add(label);
    go({ topics: [...next].join("|") || "none" }, { quietly: true });
  };
  const zoom = (from, to) => search({ from: new Date(from * 1000).toISOString(), to: new Date(to * 1000).toISOString(), last: "" });

  return html`<section class="card" aria-labelledby="trend-title" aria-busy=${answer.loading}>
    <div class="card-bar">
      <h2 id="trend-title">Sentiment by topic</h2>
      <span class="quiet">${trend?.times.length ? (at === null ? `per ${interval(trend.interval_s)} · drag to zoom` : `${time(trend.times[at] * 1000)} UTC · ${count(trend.all.count[at])} events`) : ""}</span>
      <span class="grow"></span>
      <div class="segments" role="group" aria-label="What the chart shows">${Object.entries(METRICS).map(([name, { label }]) => html`<button type="button" key=${name}
        aria-pressed=${metric === name} disabled=${!hasSentiment && name !== "count"} onClick=${() => go({ metric: name }, { quietly: true })}>${label}</button>`)}</div>
    </div>
    ${trend?.times.length
      ? html`<${Chart} trend=${trend} lines=${lines} metric=${metric} colours=${colours} alerts=${alerts} point=${setAt} zoom=${zoom} />
        <div class="keys" role="group" aria-label="Topics shown">${all.map((series, i) => html`<${Key} key=${series.label} series=${series} colour=${colour(series, i)} text=${text}
          shown=${!hidden.has(series.label)} toggle=${() => toggle(series.label)} value=${at === null ? overall(series, metric) : known(series, metric, least)[at]} />`)}</div>`
      : html`<p class="empty">${answer.error ? (answer.error.position === null ? answer.error.message : "Correct the query to see its trend.") : answer.loading ? "Loading …" : "Nothing to draw: no event matches."}</p>`}
  </section>`;
}
