// Markdown of a model as a tree: no name of an element, no attribute and no
// address comes out of it but those below.
//
// Blocks: { kind: paragraph | heading | code | list | quote | table | rule }.
// Inline: a text, or { kind: strong | em | del | code | link | br }.  HTML is
// text.  Depths and lengths are bounded, and each text is read a fixed number
// of times, so that an answer costs time in proportion to its length.

const DEPTH_MAX = 8; // lists and quotes in each other
const OPEN_MAX = 16; // emphasis in each other
const COLUMNS_MAX = 64;

export function parse(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  return blocks(lines.map((line) => line.replace(/^[ \t]+/, (blank) => blank.replace(/\t/g, "    "))), 0);
}

// ---- blocks ----

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]|$)/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})(?:[-*+]|(\d{1,9})[.)])(?:[ \t]{1,4}|$)/;

// null: no fence; else its sign, and the word behind it.
function fenceOf(line) {
  const found = FENCE.exec(line), word = found ? line.slice(found[0].length).trim() : "";
  return found && !word.includes("`") ? { fence: found[1], language: word.split(/\s/, 1)[0] } : null;
}

const isBlank = (line) => line.trim() === "";
const indent = (line) => line.length - line.trimStart().length;
const isTable = (lines, i) => lines[i].includes("|") && i + 1 < lines.length && alignsOf(lines[i + 1], cells(lines[i]).length);
const begins = (lines, i) => fenceOf(lines[i]) || HEADING.test(lines[i]) || RULE.test(lines[i]) || QUOTE.test(lines[i])
  || ITEM.test(lines[i]) || isTable(lines, i);

function blocks(lines, depth) {
  const out = [];
  for (let i = 0; i < lines.length;) {
    const read = isBlank(lines[i]) ? null : readers.find(([fits]) => fits(lines, i, depth))?.[1] || paragraph;
    const [block, next] = read ? read(lines, i, depth) : [null, i + 1];
    if (block) {
      out.push(block);
    }
    i = next;
  }
  return out;
}

function paragraph(lines, from) {
  let to = from + 1;
  while (to < lines.length && !isBlank(lines[to]) && !begins(lines, to)) {
    to += 1;
  }
  return [{ kind: "paragraph", nodes: inline(lines.slice(from, to).map((line) => line.trimStart()).join("\n").trimEnd()) }, to];
}

function code(lines, from) {
  const { fence, language } = fenceOf(lines[from]);
  const margin = indent(lines[from]), text = [];
  let to = from + 1;
  for (; to < lines.length; to += 1) {
    const line = lines[to].trim();
    if (line.length >= fence.length && indent(lines[to]) < 4 && [...line].every((c) => c === fence[0])) {
      break;
    }
    text.push(lines[to].slice(Math.min(margin, indent(lines[to]))));
  }
  return [{ kind: "code", language, text: text.join("\n") }, to + 1];
}

function heading(lines, from) {
  const level = HEADING.exec(lines[from])[1].length;
  let text = lines[from].trim().slice(level).trim(), end = text.length;
  while (text[end - 1] === "#") {
    end -= 1;
  }
  text = end === 0 || text[end - 1] === " " ? text.slice(0, end).trimEnd() : text;
  return [{ kind: "heading", level, nodes: inline(text) }, from + 1];
}

function quote(lines, from, depth) {
  let to = from;
  while (to < lines.length && QUOTE.test(lines[to])) {
    to += 1;
  }
  return [{ kind: "quote", blocks: blocks(lines.slice(from, to).map((line) => line.replace(QUOTE, "")), depth + 1) }, to];
}

// Models indent what belongs to "1." by two, too.
function list(lines, from, depth) {
  const [, , number] = ITEM.exec(lines[from]);
  const isOrdered = number !== undefined, items = [];
  let i = from;
  for (let found; i < lines.length && (found = ITEM.exec(lines[i])) && (found[2] !== undefined) === isOrdered && !RULE.test(lines[i]);) {
    const margin = found[0].length, own = [lines[i].slice(margin)];
    for (i += 1; i < lines.length; i += 1) {
      const isNext = isBlank(lines[i]) ? i + 1 < lines.length && indent(lines[i + 1]) >= 2 && !isBlank(lines[i + 1])
        : indent(lines[i]) >= found[1].length + 2 || (!isBlank(lines[i - 1]) && !begins(lines, i));
      if (!isNext) {
        break;
      }
      own.push(lines[i].slice(Math.min(margin, indent(lines[i]))));
    }
    items.push(blocks(own, depth + 1));
    const blank = i < lines.length && isBlank(lines[i]) && i + 1 < lines.length && ITEM.test(lines[i + 1]);
    i += blank ? 1 : 0; // items may stand apart
  }
  return [{ kind: "list", start: isOrdered ? Number(number) : null, items }, i];
}

// Cells of a row; \| is a bar of its own.
function cells(line) {
  const all = [""], row = line.trim();
  for (let i = row[0] === "|" ? 1 : 0; i < row.length; i += 1) {
    if (row[i] === "\\" && row[i + 1] === "|") {
      all[all.length - 1] += "|";
      i += 1;
    } else if (row[i] === "|") {
      if (i + 1 < row.length) {
        all.push("");
      }
    } else {
      all[all.length - 1] += row[i];
    }
  }
  return all.slice(0, COLUMNS_MAX).map((cell) => cell.trim());
}

// false: it is no line below the heads of so many columns.
function alignsOf(line, count) {
  const all = line.includes("-") ? cells(line) : [];
  return all.length === count && all.every((cell) => /^:?-+:?$/.test(cell)) && all.map((cell) =>
    cell.endsWith(":") ? cell.startsWith(":") ? "middle" : "end" : "start");
}

function table(lines, from) {
  const heads = cells(lines[from]), aligns = alignsOf(lines[from + 1], heads.length), rows = [];
  let to = from + 2;
  for (; to < lines.length && !isBlank(lines[to]) && lines[to].includes("|"); to += 1) {
    const row = cells(lines[to]);
    rows.push(heads.map((_, i) => inline(row[i] || "")));
  }
  return [{ kind: "table", aligns, heads: heads.map((head) => inline(head)), rows }, to];
}

const readers = [
  [(lines, i) => fenceOf(lines[i]), code],
  [(lines, i) => HEADING.test(lines[i]), heading],
  [(lines, i) => RULE.test(lines[i]), (lines, i) => [{ kind: "rule" }, i + 1]],
  [(lines, i, depth) => depth < DEPTH_MAX && QUOTE.test(lines[i]), quote],
  [(lines, i, depth) => depth < DEPTH_MAX && ITEM.test(lines[i]), list],
  [(lines, i) => isTable(lines, i), table],
];

// ---- inline ----

const SPECIAL = /[\\`*_~[!<\n]|https?:\/\//gi;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const LINK = /!?\[((?:[^[\]\\\n]|\\[^\n]){1,400})\]\( {0,3}([^\s<>()]{1,1000}(?:\([^\s<>()]{0,500}\)[^\s<>()]{0,500})?)(?: {1,3}"[^"\n]{0,300}")? {0,3}\)/y;
const ANGLE = /<(https?:\/\/[^\s<>]{1,2000})>/iy;
const BARE = /https?:\/\/[^\s<>"`|]{1,2000}/iy;
const KINDS = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };

function at(pattern, text, i) {
  pattern.lastIndex = i;
  return pattern.exec(text);
}

// Only pages of the web; null: no link.
function address(text) {
  try {
    const url = new URL(text);
    return /^https?:\/\//i.test(text) && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
}

// A sentence's end is no part of an address in it.
function trimmed(url) {
  let end = url.length;
  const lacks = () => url[end - 1] === ")" && url.slice(0, end).split("(").length >= url.slice(0, end).split(")").length;
  while (end > 0 && ".,;:!?*_~'\")]}".includes(url[end - 1]) && !lacks()) {
    end -= 1;
  }
  return url.slice(0, end);
}

// Where runs of so many ` begin, the last one first.
function ticksOf(text) {
  const all = new Map();
  for (const { 0: run, index } of [...text.matchAll(/`+/g)].reverse()) {
    all.has(run.length) ? all.get(run.length).push(index) : all.set(run.length, [index]);
  }
  return all;
}

class Inline {
  constructor(text, hasLinks) {
    this.text = text;
    this.hasLinks = hasLinks;
    this.ticks = ticksOf(text);
    this.open = [{ mark: "", nodes: [] }]; // emphasis that has begun
  }

  put(node) {
    const { nodes } = this.open.at(-1);
    if (typeof node === "string" && typeof nodes.at(-1) === "string") {
      nodes[nodes.length - 1] += node;
    } else if (node !== "") {
      nodes.push(node);
    }
  }

  // The emphasis at this place of `open` has no end: its mark is text.
  undo(place) {
    const [{ mark, nodes }] = this.open.splice(place, 1);
    const later = this.open.splice(place);
    this.put(mark);
    nodes.forEach((node) => this.put(node));
    this.open.push(...later);
  }

  // Where the emphasis begins that such a run ends; -1: nowhere.
  opener(sign, count) {
    const same = this.open.findLastIndex(({ mark }) => mark === sign.repeat(count));
    return same > 0 ? same : this.open.findLastIndex(({ mark }) => mark[0] === sign && mark.length <= count);
  }

  run(i) {
    const { text } = this, sign = text[i];
    let end = i + 1;
    while (text[end] === sign) {
      end += 1;
    }
    let left = end - i;
    const before = text[i - 1] ?? " ", after = text[end] ?? " ";
    const isOpening = /\S/.test(after) && (!PUNCTUATION.test(after) || /\s/.test(before) || PUNCTUATION.test(before));
    const isClosing = /\S/.test(before) && (!PUNCTUATION.test(before) || /\s/.test(after) || PUNCTUATION.test(after));
    const isInside = sign === "_" && /[\p{L}\p{N}]/u.test(before) && /[\p{L}\p{N}]/u.test(after); // snake_case
    const isMark = left <= 3 && !isInside && (sign !== "~" || left === 2);
    for (let place; isMark && isClosing && left > 0 && (place = this.opener(sign, left)) > 0;) {
      while (this.open.length > place + 1) {
        this.undo(this.open.length - 1);
      }
      const { mark, nodes } = this.open.pop();
      this.put(nodes.length > 0 ? { kind: KINDS[mark], nodes } : mark + mark);
      left -= mark.length;
    }
    while (isMark && isOpening && left > 0) {
      const mark = left > 1 ? sign + sign : sign;
      this.open.push({ mark, nodes: [] });
      left -= mark.length;
      if (this.open.length > OPEN_MAX) {
        this.undo(1);
      }
    }
    this.put(sign.repeat(left));
    return end;
  }

  // Code; its end is a run of as many.
  tick(i) {
    const [run] = at(/`+/y, this.text, i), places = this.ticks.get(run.length) || [];
    while (places.at(-1) <= i) {
      places.pop();
    }
    if (places.length === 0) {
      this.put(run);
      return i + run.length;
    }
    const end = places.at(-1), text = this.text.slice(i + run.length, end).replace(/\n/g, " ");
    const isPadded = text.startsWith(" ") && text.endsWith(" ") && !isBlank(text);
    this.put({ kind: "code", text: isPadded ? text.slice(1, -1) : text });
    return end + run.length;
  }

  link(i) {
    const { text } = this;
    const found = at(LINK, text, i);
    const bare = found ? null : at(ANGLE, text, i) || (/\w/.test(text[i - 1] ?? " ") ? null : at(BARE, text, i));
    const word = found?.[2] ?? bare?.[1] ?? (bare && trimmed(bare[0]));
    const href = this.hasLinks && word ? address(word) : null;
    if (!href) {
      this.put(text[i]);
      return i + 1;
    }
    this.put({ kind: "link", href, nodes: found ? inline(found[1], false) : [word] });
    return i + (found || bare[1] ? (found || bare)[0].length : word.length);
  }

  read() {
    const { text } = this;
    for (let i = 0; i < text.length;) {
      SPECIAL.lastIndex = i;
      const next = SPECIAL.exec(text)?.index ?? text.length;
      this.put(text.slice(i, next));
      i = next;
      const sign = text[i];
      if (sign === "`") {
        i = this.tick(i);
      } else if (sign === "\n") {
        this.put({ kind: "br" });
        i += 1;
      } else if (sign === "\\" && i + 1 < text.length && /[!-/:-@[-`{-~]/.test(text[i + 1])) {
        this.put(text[i + 1]);
        i += 2;
      } else if (sign === "*" || sign === "_" || sign === "~") {
        i = this.run(i);
      } else if (sign !== undefined) {
        i = sign === "\\" ? (this.put(sign), i + 1) : this.link(i);
      }
    }
    while (this.open.length > 1) {
      this.undo(1);
    }
    return this.open[0].nodes;
  }
}

function inline(text, hasLinks = true) {
  return new Inline(text, hasLinks).read();
}
