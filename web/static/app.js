// The page: one address, the live counters, and the parts that show them.

import { html, render, useCallback, useRef, useState } from "./vendor/htm/standalone.module.js";
import { useAnswer } from "./api.js";
import { useAddress } from "./address.js";
import { AlertList } from "./alerts.js";
import { AlertPanel } from "./alert_panel.js";
import { DeadLetters } from "./dead.js";
import { Header } from "./header.js";
import { narrowed } from "./kql.js";
import { useLive, useTicker } from "./live.js";
import { Results } from "./results.js";
import { SearchBar } from "./search.js";
import { Trend } from "./trend.js";

function App() {
  const [state, go] = useAddress();
  const [eventTick, ringEvents] = useTicker();
  const [alertTick, ringAlerts] = useTicker();
  const live = useLive(ringEvents, ringAlerts);
  const following = state.live === "1" && state.offset === "0" && !state.event;
  const shownTick = useRef(0);
  if (following) shownTick.current = eventTick;
  const [asked, setAsked] = useState(0);
  const refresh = shownTick.current + asked;

  const range = { from: state.from, to: state.to, last: state.last };
  const found = useAnswer("/api/search", { q: state.q, ...range, sort: state.sort, offset: state.offset, size: 25 }, refresh);
  const trend = useAnswer("/api/trend", { q: state.q, ...range }, refresh);
  const alerts = useAnswer("/api/alerts", { limit: 100 }, alertTick + asked);

  const filter = useCallback(
    (added, options) => go({ q: narrowed(state.q, added, options), offset: "0", event: "" }),
    [state.q],
  );
  const search = (changes) => {
    go({ ...changes, offset: "0", event: "" });
    setAsked((old) => old + 1);
  };
  const catchUp = () => {
    shownTick.current = eventTick;
    go({ offset: "0", event: "" }, { quietly: true });
    setAsked((old) => old + 1);
  };

  const dead = state.dead === "1";
  const top = html`<${Header} live=${live} dead=${dead} showDead=${(shown) => go({ dead: shown ? "1" : "", letter: "" })} />
    <div class="visually-hidden" role="status">${live.announced}</div>`;
  if (dead) return html`${top}<${DeadLetters} state=${state} go=${go} tick=${live.ticks.at(-1)?.counters.dead_open ?? 0} />`;
  return html`${top}
    <${SearchBar} state=${state} search=${search} go=${go} found=${found} data=${trend.answer?.data} />
    <main class="desk">
      <div class="desk-main">
        <${Trend} answer=${trend} state=${state} go=${go} search=${search} alerts=${alerts.answer?.alerts ?? []} />
        <${Results} found=${found} state=${state} go=${go} filter=${filter}
          newer=${eventTick - shownTick.current} catchUp=${catchUp} />
      </div>
      <${AlertList} alerts=${alerts} opened=${state.alert} open=${(id) => go({ alert: id })} />
    </main>
    ${state.alert && html`<${AlertPanel} key=${state.alert} id=${state.alert} refresh=${alertTick}
      close=${() => go({ alert: "" })} run=${(q) => search({ q, from: "", to: "", last: "", alert: "" })} />`}
  `;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
