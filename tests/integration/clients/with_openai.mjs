// The npm package `openai`.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  all, ASKED, check, IMAGE, isCity, KEY, main, MODEL, QUESTION, refused, same,
  TOOL, URL, VECTORS,
} from "./parts.mjs";

const client = new OpenAI({
  baseURL: URL + "/v1", apiKey: KEY, maxRetries: 0,
});
const Weather = z.object({ city: z.string() });

function ask(fields) {
  return client.chat.completions.create({
    model: MODEL, messages: ASKED, ...fields,
  });
}

await main(["openai"], {
  async models() {
    const list = await all(await client.models.list());
    check(list.some((one) => one.id === MODEL), list);
  },
  async chat() {
    const answer = await ask({});
    same(answer.choices[0].finish_reason, "stop");
    check(answer.choices[0].message.content, answer);
  },
  async stream() {
    const pieces = await all(await ask({ stream: true }));
    const texts = pieces.map((piece) => piece.choices[0]?.delta.content);
    check(texts.filter(Boolean).length > 1, texts);
  },
  async tool() {
    const { choices: [choice] } = await ask({ tools: [TOOL] });
    same(choice.finish_reason, "tool_calls");
    isCity(JSON.parse(choice.message.tool_calls[0].function.arguments));
  },
  async tool_streamed() {
    const stream = client.chat.completions.stream({
      model: MODEL, messages: ASKED, tools: [TOOL],
    });
    const { choices: [choice] } = await stream.finalChatCompletion();
    same(choice.finish_reason, "tool_calls");
    isCity(JSON.parse(choice.message.tool_calls[0].function.arguments));
  },
  async loop() {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: MODEL,
      messages: [...ASKED],
      tools: [{
        type: "function",
        function: {
          ...TOOL.function,
          parse: JSON.parse,
          function: (args) => (asked.push(args), "rain"),
        },
      }],
    });
    check(await runner.finalContent(), "no text");
    asked.forEach(isCity);
    same(asked.length, 1);
  },
  async structured() {
    const answer = await client.chat.completions.parse({
      model: MODEL,
      messages: ASKED,
      response_format: zodResponseFormat(Weather, "weather"),
    });
    isCity(answer.choices[0].message.parsed);
  },
  async n() {
    same((await ask({ n: 2 })).choices.map((one) => one.index), [0, 1]);
  },
  async logit_bias() {
    const { choices: [choice] } = await ask({
      model: VECTORS, logit_bias: { 300: 100 }, max_tokens: 2,
    });
    const text = choice.message.content;
    same(text.slice(0, text.length / 2), text.slice(text.length / 2));
  },
  async penalties() {
    await ask({ presence_penalty: 1, frequency_penalty: 1 });
    await refused(400, "frequency_penalty", () => ask({
      frequency_penalty: 3,
    }));
  },
  async embeddings() {
    const answer = await client.embeddings.create({
      model: VECTORS, input: ["one", "two"],
    });
    same(answer.data.map((one) => one.embedding.length), [256, 256]);
  },
  async image() {
    await refused(400, "messages[0]", () => ask({
      messages: [{
        role: "user",
        content: [{
          type: "image_url",
          image_url: { url: "data:image/png;base64," + IMAGE },
        }],
      }],
    }));
  },
  async moderations() {
    await refused(400, "moderations", () => client.moderations.create({
      input: "a text",
    }));
  },
  async responses() {
    const answer = await client.responses.create({
      model: MODEL, input: QUESTION,
    });
    same(answer.status, "completed");
    check(answer.output_text, answer);
  },
  async responses_stream() {
    const events = await all(await client.responses.create({
      model: MODEL, input: QUESTION, stream: true,
    }));
    same(events.at(-1).type, "response.completed");
    same(events.map((event) => event.sequence_number), [...events.keys()]);
  },
  async responses_structured() {
    const answer = await client.responses.parse({
      model: MODEL,
      input: QUESTION,
      text: { format: zodTextFormat(Weather, "weather") },
    });
    isCity(answer.output_parsed);
  },
});
