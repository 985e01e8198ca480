// The npm package `ollama`.
import { Ollama } from "ollama";
import {
  all, ASKED, check, CITY, IMAGE, isCity, KEY, main, MODEL, QUESTION, refused,
  same, TOOL, URL, VECTORS,
} from "./parts.mjs";

const client = new Ollama({
  host: URL, headers: { Authorization: "Bearer " + KEY },
});

function ask(fields) {
  return client.chat({ model: MODEL, messages: ASKED, ...fields });
}

await main(["ollama"], {
  async models() {
    const { models } = await client.list();
    check(models.some((one) => one.name === MODEL), models);
    check((await client.ps()).models.length > 0);
    const shown = await client.show({ model: MODEL });
    check(shown.capabilities.includes("completion"), shown);
    check((await client.version()).version);
  },
  async chat() {
    const answer = await ask({});
    same([answer.done, answer.done_reason], [true, "stop"]);
    check(answer.message.content, answer);
  },
  async stream() {
    const pieces = await all(await ask({ stream: true }));
    check(pieces.length > 2 && pieces.at(-1).done, pieces);
  },
  async generate() {
    const answer = await client.generate({ model: MODEL, prompt: QUESTION });
    check(answer.response, answer);
  },
  async tool() {
    const { message } = await ask({ tools: [TOOL] });
    same(message.tool_calls[0].function.name, "get_weather");
    isCity(message.tool_calls[0].function.arguments);
  },
  async tool_streamed() {
    const pieces = await all(await ask({ tools: [TOOL], stream: true }));
    const made = pieces.flatMap((piece) => piece.message.tool_calls ?? []);
    same(made.length, 1);
    isCity(made[0].function.arguments);
  },
  async loop() {
    const { message } = await ask({ tools: [TOOL] });
    const then = await ask({
      tools: [TOOL],
      messages: [...ASKED, message, {
        role: "tool", tool_name: "get_weather", content: "rain",
      }],
    });
    check(then.message.content && !then.message.tool_calls, then);
  },
  async structured() {
    const answer = await ask({ format: CITY });
    isCity(JSON.parse(answer.message.content));
  },
  async embeddings() {
    const answer = await client.embed({
      model: VECTORS, input: ["one", "two"],
    });
    same(answer.embeddings.length, 2);
  },
  async image() {
    await refused(400, "messages[0]", () => ask({
      messages: [{ ...ASKED[0], images: [IMAGE] }],
    }));
  },
  async pull() {
    await refused(400, "flotilla release create", () => client.pull({
      model: "other",
    }));
  },
});
