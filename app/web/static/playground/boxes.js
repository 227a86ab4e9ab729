// Where things are: the picture with a box around each, and the list of them.

import { h, svg } from "../shared/elements.js";

/**
 * @param {any} answer of /v1/locate
 * @param {number[]} owners whose picture each image of the request is
 * @param {import("./pictures.js").Picture[]} pictures
 * @returns {HTMLElement}
 */
export function drawBoxes(answer, owners, pictures) {
  const figures = answer.images.map((/** @type {any} */ image, /** @type {number} */ index) => {
    const picture = pictures.find(({ id }) => id === owners[index]);
    const part = picture?.prepared.parts[index - owners.indexOf(/** @type {number} */ (owners[index]))];
    const found = answer.objects.filter((/** @type {any} */ each) => each.image === image.index);
    return figure(image, part?.url ?? "", found, picture?.file.name ?? image.name);
  });
  const nothing = answer.objects.length === 0 ? h("p", {}, "Nothing was found.") : null;
  return h("div", { class: "found" }, nothing, ...figures);
}

/**
 * @param {any} image
 * @param {string} url of the prepared picture, which every browser can show and which has the same shape
 * @param {any[]} found
 * @param {string} name
 */
function figure(image, url, found, name) {
  const { width, height } = extentOf(image);
  const groups = found.map((object, number) => box(object, number + 1));
  const mark = (/** @type {number} */ number, /** @type {boolean} */ on) =>
    groups[number].classList.toggle("marked", on);
  const items = found.map((object, number) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          onfocus: () => mark(number, true),
          onblur: () => mark(number, false),
          onpointerenter: () => mark(number, true),
          onpointerleave: () => mark(number, false),
        },
        `${object.label} `,
        h("code", {}, `[${object.box.join(", ")}]`),
      ),
    ),
  );
  return h(
    "figure",
    {},
    h(
      "div",
      { class: "boxed" },
      h("img", { src: url, alt: name }),
      svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...groups),
    ),
    h(
      "figcaption",
      {},
      `${name}: boxes in the ${image.page ? "points of the page" : `pixels of the original, ${width}\u00d7${height}`}`,
    ),
    h("ol", { class: "objects" }, ...items),
  );
}

/** @param {any} object @param {number} number */
function box(object, number) {
  const [left, top, right, bottom] = object.box;
  return svg(
    "g",
    { class: "box", "data-number": number },
    svg("rect", { x: left, y: top, width: right - left, height: bottom - top }),
  );
}

/** What the boxes of an image are measured in: pixels of the original, points of a page. */
function extentOf(/** @type {any} */ image) {
  if (image.page) return { width: image.page.width_pt, height: image.page.height_pt };
  return { width: image.original.width_px, height: image.original.height_px };
}
