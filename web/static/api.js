// Requests to the server: JSON answers or an ApiError, and the live event stream.

import { useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";

export class ApiError extends Error {
  constructor(status, body) {
    super(body.error || `the server answered ${status}`);
    this.status = status;
    this.position = body.position ?? null;
    this.query = body.query ?? null;
  }
}

function address(path, params) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, value);
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

async function answerOf(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { error: "the server does not answer; is it running?" });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

export const getJson = (path, params = {}, signal = undefined) =>
  answerOf(address(path, params), { signal, headers: { Accept: "application/json" } });

export const postJson = (path, body) =>
  answerOf(path, { method: "POST", headers: { Accept: "application/json", "Content-Type": "application/json" }, body: JSON.stringify(body) });

// The answer of `path` for `params`; keeps the last good answer while a new one is on its way or fails.
export function useAnswer(path, params, refresh = 0) {
  const [state, setState] = useState({ answer: null, error: null, loading: true });
  const key = path === null ? null : address(path, params);
  const lastKey = useRef(null);
  useEffect(() => {
    if (key === null) {
      setState({ answer: null, error: null, loading: false });
      return undefined;
    }
    const control = new AbortController();
    const isNew = lastKey.current !== key;
    lastKey.current = key;
    if (isNew) setState((old) => ({ ...old, loading: true }));
    getJson(path, params, control.signal).then(
      (answer) => setState({ answer, error: null, loading: false }),
      (error) => error.name !== "AbortError" && setState((old) => ({ ...old, error, loading: false })),
    );
    return () => control.abort();
  }, [key, refresh]);
  return state;
}
