// An answer: thoughts, words, calls of tools, and the numbers of its making.

import { formatted, tokensPerSecond } from "/app/data/turns.js";
import { duration, many } from "/app/data/units.js";
import { html } from "/app/parts/html.js";
import { Code, Markdown } from "/app/parts/markdown.js";
import { Problems } from "/app/parts/problems.js";

function Numbers({ turn }) {
  const speed = tokensPerSecond(turn);
  const words = [turn.firstMs && `first token ${duration(turn.firstMs - turn.askedMs)}`,
    turn.loadMs && `of it ${duration(turn.loadMs)} to load`,
    speed && `${speed < 100 ? speed.toFixed(1) : speed.toFixed(0)} tokens/s`,
    turn.tokens && many(turn.tokens, "token"), turn.finish === "length" && "ended by the limit of tokens",
    turn.isStopped && "stopped"].filter(Boolean);
  return html`<ul class="numbers">${words.map((word) => html`<li>${word}</li>`)}</ul>`;
}

const Thoughts = ({ text, isOpen }) => html`<details class="thoughts"><summary>${isOpen ? "Thinking …" : "Thoughts"}</summary>
  <p>${text}</p></details>`;

// tell(i, result): a person answers for the tool.
const Calls = ({ calls, tell, send }) => html`<div class="calls">
  ${calls.map((call, i) => html`<section aria-label=${`Call of ${call.name}`}><h3>Calls <code>${call.name}</code></h3>
    <${Code} language="arguments" text=${formatted(call.args)} />
    ${send ? html`<label class="field"><span>Result of ${call.name}</span><textarea rows="2" class="mono" value=${call.result}
      oninput=${(event) => tell(i, event.target.value)} /></label>`
    : call.result ? html`<${Code} language="result" text=${formatted(call.result)} />` : null}</section>`)}
  ${send ? html`<button type="button" class="primary" onclick=${send}>Send ${calls.length > 1 ? "results" : "result"}</button>` : null}</div>`;

// again(): ask once more; none where the conversation went on.
export function Answer({ turn, isBusy, waits, tell, send, again }) {
  const isEmpty = !turn.text && !turn.thoughts && turn.calls.length === 0;
  return html`<article class="turn answer" aria-busy=${String(Boolean(isBusy))}><h2>${turn.model || "Answer"}</h2>
    ${turn.thoughts ? html`<${Thoughts} text=${turn.thoughts} isOpen=${isBusy && !turn.text} />` : null}
    ${turn.text ? html`<${Markdown} text=${turn.text} />` : null}
    ${isBusy && isEmpty ? html`<p class="soft waits">${waits}</p>` : null}
    ${turn.calls.length > 0 ? html`<${Calls} calls=${turn.calls} tell=${tell} send=${isBusy ? null : send} />` : null}
    ${turn.problem ? html`<${Problems} problem=${turn.problem} />` : null}
    ${isBusy ? null : html`<${Numbers} turn=${turn} />`}
    ${again && (turn.problem || turn.isStopped) ? html`<button type="button" class="again" onclick=${again}>Try again</button>` : null}</article>`;
}
