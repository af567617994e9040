// What happens at this second: the server's event stream, and what the page makes of it.

import { useCallback, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { getJson } from "./api.js";

// A page that is open only for a moment (a link preview, a print, a quick look) polls and holds no stream on the server.
const STREAM_AFTER_MS = 9000;
const POLL_MS = 1500;
const REFRESH_MS = 3000; // the trend over 50,000 events takes 30 ms; one every 3 s leaves the index to the stream
const KEPT_TICKS = 60;

// A number that grows after `ring()`, at most once in REFRESH_MS.
export function useTicker() {
  const [tick, setTick] = useState(0);
  const timer = useRef(null);
  const ring = useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = null;
      setTick((old) => old + 1);
    }, REFRESH_MS);
  }, []);
  useEffect(() => () => clearTimeout(timer.current), []);
  return [tick, ring];
}

const alertsSeen = (tick) => `${tick.alerts?.active} ${tick.alerts?.inactive}`;

// Asks for the counters until the stream is open; what changed since the last answer is told as the stream would.
function poll(on) {
  let last = null;
  let timer = null;
  const ask = () =>
    getJson("/api/counters")
      .then((tick) => {
        on.counters(tick);
        if (last && tick.counters.indexed !== last.counters.indexed) on.events();
        if (last && alertsSeen(tick) !== alertsSeen(last)) on.alerts();
        last = tick;
      })
      .catch(() => on.connected(false))
      .finally(() => {
        if (timer !== false) timer = setTimeout(ask, POLL_MS);
      });
  ask();
  return () => {
    clearTimeout(timer);
    timer = false;
  };
}

function stream(on, opened) {
  const source = new EventSource("/api/stream");
  const listen = (name, act) => source.addEventListener(name, (message) => act(JSON.parse(message.data)));
  let isFirst = true;
  source.onopen = () => {
    opened();
    on.connected(true);
    on.alerts();
  };
  source.onerror = () => on.connected(false);
  listen("counters", on.counters);
  listen("trouble", on.trouble);
  listen("alert", (alert) => {
    on.announce(`${alert.severity} alert, ${alert.rule}: ${alert.summary}`);
    on.alerts();
  });
  listen("events", () => {
    if (!isFirst) on.events();
    isFirst = false;
  });
  return () => source.close();
}

function watch(on) {
  const stopPolling = poll(on);
  let closeStream = () => {};
  const timer = setTimeout(() => {
    closeStream = stream(on, stopPolling);
  }, STREAM_AFTER_MS);
  return () => {
    clearTimeout(timer);
    stopPolling();
    closeStream();
  };
}

// { connected, ticks, trouble, announced }: the counters of the last minute, and the newest alert in words for screen readers.
export function useLive(ringEvents, ringAlerts) {
  const [live, setLive] = useState({ connected: true, ticks: [], trouble: null, announced: "" });
  useEffect(
    () =>
      watch({
        connected: (connected) => setLive((old) => ({ ...old, connected })),
        counters: (tick) => setLive((old) => ({ ...old, connected: true, trouble: null, ticks: [...old.ticks.slice(1 - KEPT_TICKS), tick] })),
        trouble: ({ error }) => setLive((old) => ({ ...old, trouble: error })),
        announce: (announced) => setLive((old) => ({ ...old, announced })),
        events: ringEvents,
        alerts: ringAlerts,
      }),
    [],
  );
  return live;
}
