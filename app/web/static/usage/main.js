// The usage page, put together: whenever the span, a filter or the key changes, everything is fetched anew.

import { ApiError } from "../shared/api.js";
import { announceSandbox } from "../shared/announce.js";
import { byId, show } from "../shared/elements.js";
import { askForKey, onKey, startKeyEntry } from "../shared/key.js";
import { clearLedger, loadLedger, nameKeys, startLedger } from "./ledger.js";
import { span, startSpan } from "./span.js";
import { clearSums, drawSums } from "./sums.js";

/** @type {AbortController | null} */
let loading = null;

startKeyEntry();
startLedger(load, tell);
span.watch(load);
onKey(() => {
  clear();
  void load();
});
void announceSandbox();
startSpan();

async function load() {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  show(byId("problem"), false);
  try {
    nameKeys(await drawSums(signal));
    await loadLedger(signal);
  } catch (error) {
    if (signal.aborted) return;
    clear(); // what was shown is of another key or another span
    tell(/** @type {Error} */ (error));
  }
}

function clear() {
  clearSums();
  clearLedger();
}

/** @param {Error} error */
function tell(error) {
  byId("problem").textContent = error instanceof ApiError ? error.whole : error.message;
  show(byId("problem"), true);
  if (error instanceof ApiError && error.status === 401) askForKey(error.message);
}
