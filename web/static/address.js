// The page's whole state lives in its address, so that a copied link shows the same thing.

import { useCallback, useEffect, useState } from "./vendor/htm/standalone.module.js";

const DEFAULTS = {
  q: "", from: "", to: "", last: "", sort: "time:desc", offset: "0", metric: "negative_share", topics: "", alert: "", event: "", live: "1",
  dead: "", letter: "",
};

export function readAddress(search) {
  const params = new URLSearchParams(search);
  const state = {};
  for (const [name, fallback] of Object.entries(DEFAULTS)) state[name] = params.get(name) ?? fallback;
  return state;
}

export function writeAddress(state) {
  const params = new URLSearchParams();
  for (const [name, fallback] of Object.entries(DEFAULTS)) {
    if (state[name] !== fallback) params.set(name, state[name]);
  }
  const text = params.toString();
  return text ? `?${text}` : "/";
}

// [state, go]: `go(changes)` adds an entry to the browser's history, `go(changes, { quietly: true })` changes the present one.
export function useAddress() {
  const [state, setState] = useState(() => readAddress(window.location.search));
  useEffect(() => {
    const back = () => setState(readAddress(window.location.search));
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, []);
  const go = useCallback((changes, { quietly = false } = {}) => {
    const next = { ...readAddress(window.location.search), ...changes };
    window.history[quietly ? "replaceState" : "pushState"](null, "", writeAddress(next));
    setState(next);
  }, []);
  return [state, go];
}
