// The playground, put together: who learns of whose changes.

import { ApiError } from "../shared/api.js";
import { announceSandbox } from "../shared/announce.js";
import { askForKey, onKey, startKeyEntry } from "../shared/key.js";
import { debounced } from "../shared/store.js";
import { choices, loadModels, models, startChoices } from "./choices.js";
import { drawCode, startCode } from "./code.js";
import { compareSoon, startComparison } from "./compare.js";
import { priceSoon } from "./estimate.js";
import { startIntake } from "./intake.js";
import { pictures } from "./pictures.js";
import { prepareAll, retryAll } from "./prepare.js";
import { startSending } from "./send.js";
import { startSession } from "./session.js";
import { startTiles } from "./tiles.js";

const prepareSoon = debounced(0, prepareAll);

startKeyEntry();
startTiles();
startIntake();
startChoices();
startSending();
startComparison();
startSession();
startCode();

for (const each of [pictures, choices, models]) {
  each.watch(prepareSoon);
  each.watch(priceSoon);
  each.watch(compareSoon);
  each.watch(drawCode);
}
pictures.watch(askWhereRefused);

onKey(() => {
  void listModels();
  retryAll();
});
void announceSandbox();
void listModels();
priceSoon();

async function listModels() {
  try {
    await loadModels();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) askForKey(error.message);
  }
}

/** A key may have run out since it was entered. */
function askWhereRefused() {
  const refused = pictures.value.find(
    ({ prepared }) => prepared.error instanceof ApiError && prepared.error.status === 401,
  );
  if (refused !== undefined) askForKey(refused.prepared.error?.message);
}
