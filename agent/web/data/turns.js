// A conversation: its turns, what is sent of them, and how parts of an answer
// come together.
//
// A turn is { role, text }.  An answer also has thoughts, calls of tools
// [{ id, name, args, result }] and the numbers of its making.

const KEY = "flotilla.chat";
const CALLS_MAX = 64; // of one answer

export const freshAnswer = (now) => ({ role: "assistant", text: "", thoughts: "", calls: [], askedMs: now });

const word = (value) => typeof value === "string" ? value : "";

function addCall(turn, part) {
  const i = part?.index;
  if (!Number.isInteger(i) || i < 0 || i >= CALLS_MAX) {
    return;
  }
  while (turn.calls.length <= i) {
    turn.calls.push({ id: `call_${turn.calls.length}`, name: "", args: "", result: "" });
  }
  const call = turn.calls[i];
  call.id = word(part.id) || call.id;
  call.name += word(part.function?.name);
  call.args += word(part.function?.arguments);
}

// One part of the stream.
export function add(turn, part, now) {
  const choice = part.choices?.[0], delta = choice?.delta || {};
  const calls = Array.isArray(delta.tool_calls) ? delta.tool_calls : [];
  turn.model = word(part.model) || turn.model;
  turn.text += word(delta.content);
  turn.thoughts += word(delta.reasoning_content);
  calls.forEach((call) => addCall(turn, call));
  if (delta.content || delta.reasoning_content || calls.length > 0) {
    turn.firstMs ??= now;
    turn.lastMs = now;
  }
  turn.finish = choice?.finish_reason || turn.finish;
  turn.tokens = part.usage?.completion_tokens ?? turn.tokens;
  turn.perTokenMs = part.timings?.per_token_ms || turn.perTokenMs;
  turn.loadMs = part.timings?.load_ms || turn.loadMs;
}

// By the engine's clock; by ours where it tells none.
export function tokensPerSecond(turn) {
  const ms = turn.perTokenMs || (turn.tokens > 1 ? (turn.lastMs - turn.firstMs) / (turn.tokens - 1) : 0);
  return ms > 0 ? 1000 / ms : null;
}

const argsOf = (call) => call.args || "{}";

function messagesOf(turn) {
  if (turn.role === "user") {
    return [{ role: "user", content: turn.text }];
  }
  if (turn.calls.length === 0) {
    return turn.text ? [{ role: "assistant", content: turn.text }] : [];
  }
  return [{ role: "assistant", content: turn.text || null, tool_calls: turn.calls.map((call) => ({
    id: call.id, type: "function", function: { name: call.name, arguments: argsOf(call) } })) },
  ...turn.calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: call.result }))];
}

// Questions without an answer are put together: templates want turns to change.
function joined(messages) {
  return messages.reduce((all, one) => {
    const last = all.at(-1);
    return last?.role === "user" && one.role === "user"
      ? [...all.slice(0, -1), { ...one, content: `${last.content}\n\n${one.content}` }] : [...all, one];
  }, []);
}

// A setting that is left empty is not sent: the model's standard holds.  A text
// that is no JSON throws.
export function requestOf(turns, settings) {
  const { model, system, temperature, max, tools } = settings;
  const messages = joined(turns.flatMap(messagesOf));
  const request = { model, messages: system ? [{ role: "system", content: system }, ...messages] : messages };
  if (temperature !== "") {
    request.temperature = Number(temperature);
  }
  if (max !== "") {
    request.max_tokens = Number(max);
  }
  if (tools.trim()) {
    request.tools = JSON.parse(tools);
  }
  return request;
}

// A list of tools is wrong: why; else "".
export function faultOfTools(tools) {
  try {
    return !tools.trim() || Array.isArray(JSON.parse(tools)) ? "" : "Tools are a JSON list: [ … ].";
  } catch (error) {
    return `This is no JSON: ${error.message}.`;
  }
}

// JSON as people read it; a text that is none as it is.
export function formatted(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

// ---- what the tab keeps ----

const STANDARD = { model: "", system: "", temperature: "", max: "", tools: "" };

// An answer that was under way when the page was left.
const ended = (turn) => turn.role === "user" || turn.finish || turn.problem ? turn : { ...turn, isStopped: true };

export function kept() {
  try {
    const { turns, settings } = JSON.parse(sessionStorage.getItem(KEY));
    return { turns: turns.map(ended), settings: { ...STANDARD, ...settings } };
  } catch {
    return { turns: [], settings: { ...STANDARD } };
  }
}

// A tab that is full keeps the chat in its memory alone.
export function keep(turns, settings) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ turns, settings }));
  } catch { /* the next turn tries again */ }
}
