// A tree of data/markdown.js as elements; each text is a text node.

import { parse } from "/app/data/markdown.js";
import { announce } from "/app/parts/announce.js";
import { Component, html } from "/app/parts/html.js";
import { time } from "/app/data/time.js";

const COPIED_MS = 2000;
const HEADINGS = { above: 2, most: 6 }; // a turn has h2

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // without TLS a browser has it on loopback alone
    const had = document.activeElement, area = document.createElement("textarea");
    area.className = "vh";
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    had?.focus();
    return isDone;
  }
}

export class Code extends Component {
  componentWillUnmount() {
    time.stop(this.timer);
  }

  async copy() {
    const word = await copy(this.props.text) ? "Copied" : "Not copied";
    announce(word);
    this.setState({ word });
    time.stop(this.timer);
    this.timer = time.after(COPIED_MS, () => this.setState({ word: "" }));
  }

  render({ language, text }, { word }) {
    return html`<div class="block"><div class="top"><span class="soft">${language || "text"}</span>
      <button type="button" class="quiet" aria-label=${word ? null : `Copy ${language || "text"}`} onclick=${() => this.copy()}>${word || "Copy"}</button></div>
      <pre tabindex="0" role="group" aria-label=${`${language || "text"}, scrolls`}><code>${text}</code></pre></div>`;
  }
}

const INLINE = {
  br: () => html`<br />`,
  code: (node) => html`<code>${node.text}</code>`,
  strong: (node) => html`<strong>${inline(node.nodes)}</strong>`,
  em: (node) => html`<em>${inline(node.nodes)}</em>`,
  del: (node) => html`<del>${inline(node.nodes)}</del>`,
  link: (node) => html`<a href=${node.href} title=${node.href} target="_blank" rel="noopener noreferrer">${inline(node.nodes)}</a>`,
};

const inline = (nodes) => nodes.map((node) => typeof node === "string" ? node : INLINE[node.kind](node));

const Table = ({ aligns, heads, rows }) => html`<div class="scroll" tabindex="0" role="group" aria-label="Table, scrolls"><table>
  <thead><tr>${heads.map((cell, i) => html`<th scope="col" class=${aligns[i]}>${inline(cell)}</th>`)}</tr></thead>
  <tbody>${rows.map((row) => html`<tr>${row.map((cell, i) => html`<td class=${aligns[i]}>${inline(cell)}</td>`)}</tr>`)}</tbody></table></div>`;

// ranks: of the headings so far; none skips one, whatever the model wrote.
const BLOCKS = {
  paragraph: (block) => html`<p>${inline(block.nodes)}</p>`,
  heading(block, ranks) {
    ranks.last = Math.min(block.level + HEADINGS.above, ranks.last + 1, HEADINGS.most);
    return html`<${`h${ranks.last}`}>${inline(block.nodes)}<//>`;
  },
  code: (block) => html`<${Code} language=${block.language} text=${block.text} />`,
  quote: (block, ranks) => html`<blockquote>${all(block.blocks, ranks)}</blockquote>`,
  list: (block, ranks) => html`<${block.start === null ? "ul" : "ol"} start=${block.start}>${
    block.items.map((item) => html`<li>${all(item, ranks)}</li>`)}<//>`,
  table: (block) => html`<${Table} ...${block} />`,
  rule: () => html`<hr />`,
};

const all = (blocks, ranks) => blocks.map((block) => BLOCKS[block.kind](block, ranks));

export const Markdown = ({ text }) => html`<div class="words">${all(parse(text), { last: HEADINGS.above })}</div>`;
