// An error as people read it: the sentence, its id, and what to do.

import { text } from "/app/data/units.js";
import { html } from "/app/parts/html.js";

// A sentence of the server: `words` in it are a command or a field.
export const Prose = ({ words }) => text(words).split(/`([^`]+)`/).map((part, i) =>
  i % 2 === 1 ? html`<code>${part}</code>` : part);

export function Problems({ problem }) {
  return problem ? html`<div class="notice n-bad" role="alert"><b><${Prose} words=${problem.message} /></b>
    <p>${problem.code ? html`<code>${problem.code}</code> ` : null}<${Prose} words=${problem.fix || ""} /></p></div>` : null;
}
