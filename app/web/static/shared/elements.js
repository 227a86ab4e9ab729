// Makes and finds elements. Text only ever becomes text: nothing here, or anywhere in these pages, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * A new element. Properties whose value is a function listen (`onclick`), `true` sets a bare attribute,
 * `false`, `null` and `undefined` set nothing.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | undefined)} children
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/**
 * As `h`, of SVG.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | undefined)} children
 * @returns {any}
 */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

/**
 * The element of this page with that id, which has to be there.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Shows or hides an element, for eyes and screen readers alike.
 *
 * @param {HTMLElement} element
 * @param {boolean} shown
 */
export function show(element, shown) {
  element.hidden = !shown;
}

/**
 * @param {Element} element
 * @param {Record<string, any>} properties
 * @param {(Node | string | null | undefined)[]} children
 */
function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null).map((child) => /** @type {Node} */ (child)));
  return element;
}
