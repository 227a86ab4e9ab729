// What every page says of the service behind it: that it is the sandbox, where it is.

import { byId, show } from "./elements.js";

/** Shows the notice of the sandbox where answers are its own. */
export async function announceSandbox() {
  const response = await fetch("livez").catch(() => null);
  show(byId("sandbox"), response?.headers.get("x-vision-proxy-sandbox") === "true");
}
