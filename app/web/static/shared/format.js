// How numbers are written: money, sizes, counts, dates.

const COUNT = new Intl.NumberFormat("en");

/**
 * US dollars, with as many decimals as a small sum needs to be seen; null is a price that nobody knows.
 *
 * @param {number | null | undefined} usd
 */
export function money(usd) {
  if (usd == null) return "unknown price";
  if (usd === 0) return "$0";
  const decimals = usd >= 100 ? 2 : usd >= 0.01 ? 4 : 6;
  return `$${usd.toFixed(decimals).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

/** @param {number} number */
export function count(number) {
  return COUNT.format(number);
}

/**
 * `1 picture`, `3 pictures`.
 *
 * @param {number} number
 * @param {string} noun
 */
export function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Bytes in the units of a thousand that file managers show.
 *
 * @param {number} number
 */
export function bytes(number) {
  if (number < 1_000) return `${number} B`;
  if (number < 1_000_000) return `${Math.round(number / 1_000)} kB`;
  return `${(number / 1_000_000).toFixed(1)} MB`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  return milliseconds < 1_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1_000).toFixed(1)} s`;
}

/** @param {{width_px: number, height_px: number}} file */
export function pixels(file) {
  return `${file.width_px}\u00d7${file.height_px}`;
}

/**
 * An instant in the reader's own time, to the second.
 *
 * @param {string} instant
 */
export function moment(instant) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const at = new Date(instant);
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${day} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}
