// Elements as templates.  Text only ever enters the page as text nodes, so
// nothing that a device or a model says is ever read as markup.

import { Component, h, render } from "/app/vendor/preact.module.js";
import htm from "/app/vendor/htm.module.js";

export const html = htm.bind(h);
export { Component, render };
