// The ways in which pictures come: chosen, dropped anywhere on the page, or pasted.

import { byId } from "../shared/elements.js";
import { counted } from "../shared/format.js";
import { add, removeAll } from "./pictures.js";

/** Puts all of them to work. */
export function startIntake() {
  const input = byId("files");
  byId("pick").addEventListener("click", () => input.click());
  byId("remove-all").addEventListener("click", () => {
    removeAll();
    byId("pick").focus();
  });
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files;
    if (files === undefined || files.length === 0) return; // text goes where it was pasted
    event.preventDefault();
    take(files);
  });
  startDrop();
}

function startDrop() {
  const marked = document.body.classList;
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    marked.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) marked.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    marked.remove("dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer?.files ?? []);
  });
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** @param {FileList | never[]} files */
function take(files) {
  if (files.length === 0) return;
  add(files);
  byId("pictures-status").textContent = `${counted(files.length, "picture")} added`;
}
