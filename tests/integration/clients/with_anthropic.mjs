// The npm package `@anthropic-ai/sdk`.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import {
  all, ASKED, check, CITY, IMAGE, isCity, KEY, main, MODEL, refused, same, URL,
} from "./parts.mjs";

const client = new Anthropic({ baseURL: URL, apiKey: KEY, maxRetries: 0 });
const STILL = { model: MODEL, max_tokens: 400, messages: ASKED };
const TOOLS = [{
  name: "get_weather",
  description: "The weather of a city.",
  input_schema: CITY,
}];

await main(["@anthropic-ai/sdk"], {
  async chat() {
    const message = await client.messages.create(STILL);
    same(message.stop_reason, "end_turn");
    check(message.content[0].text, message);
  },
  async stream() {
    const texts = [];
    const stream = client.messages.stream(STILL);
    stream.on("text", (text) => texts.push(text));
    const message = await stream.finalMessage();
    check(texts.length > 1, texts);
    same(texts.join(""), message.content[0].text);
  },
  async tool() {
    const message = await client.messages.create({ ...STILL, tools: TOOLS });
    same(message.stop_reason, "tool_use");
    isCity(message.content.at(-1).input);
  },
  async tool_streamed() {
    const message = await client.messages.stream({
      ...STILL, tools: TOOLS,
    }).finalMessage();
    same(message.stop_reason, "tool_use");
    isCity(message.content.at(-1).input);
  },
  async loop() {
    const asked = await client.messages.create({ ...STILL, tools: TOOLS });
    const message = await client.messages.create({
      ...STILL,
      tools: TOOLS,
      messages: [...ASKED, { role: "assistant", content: asked.content }, {
        role: "user",
        content: [{
          type: "tool_result",
          tool_use_id: asked.content.at(-1).id,
          content: "rain",
        }],
      }],
    });
    same(message.stop_reason, "end_turn");
  },
  async tool_runner() {
    const asked = [];
    const message = await client.beta.messages.toolRunner({
      ...STILL,
      messages: [...ASKED],
      tools: [betaZodTool({
        name: "get_weather",
        description: "The weather of a city.",
        inputSchema: z.object({ city: z.string() }),
        run: (input) => (asked.push(input), "rain"),
      })],
    });
    check(message.content[0].text, message);
    asked.forEach(isCity);
    same(asked.length, 1);
  },
  async structured() {
    const message = await client.messages.parse({
      ...STILL,
      output_config: { format: zodOutputFormat(z.object({
        city: z.string(),
      })) },
    });
    isCity(message.parsed_output);
  },
  async count_tokens() {
    const { max_tokens, ...prompt } = STILL;
    check((await client.messages.countTokens(prompt)).input_tokens > 0);
  },
  async models() {
    const list = await all(client.models.list());
    check(list.some((one) => one.id === MODEL), list);
  },
  async image() {
    await refused(400, "image", () => client.messages.create({
      ...STILL,
      messages: [{
        role: "user",
        content: [{
          type: "image",
          source: { type: "base64", media_type: "image/png", data: IMAGE },
        }],
      }],
    }));
  },
});
