// Server-sent events out of a text that is still growing.

/**
 * A reader of a text that is handed over whole each time there is more of it; each event is told once.
 *
 * @param {(name: string, data: any) => void} onEvent
 * @returns {(text: string) => void}
 */
export function eventReader(onEvent) {
  let read = 0;
  return (text) => {
    for (let end = text.indexOf("\n\n", read); end !== -1; end = text.indexOf("\n\n", read)) {
      tell(text.slice(read, end), onEvent);
      read = end + 2;
    }
  };
}

/**
 * @param {string} block
 * @param {(name: string, data: any) => void} onEvent
 */
function tell(block, onEvent) {
  const lines = block.split("\n");
  const value = (/** @type {string} */ field) =>
    lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2);
  const [name, data] = [value("event"), value("data")];
  if (name !== undefined && data !== undefined) onEvent(name, JSON.parse(data)); // comments keep the line alive
}
