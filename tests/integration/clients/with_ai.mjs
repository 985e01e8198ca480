// The npm package `ai`, with `@ai-sdk/openai`, `@ai-sdk/openai-compatible` and
// `@ai-sdk/anthropic`.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  embedMany, generateText, Output, stepCountIs, streamText, tool,
} from "ai";
import { z } from "zod";
import {
  all, check, IMAGE, isCity, KEY, main, MODEL, QUESTION, refused, same, URL,
  VECTORS,
} from "./parts.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const fields = { baseURL: URL + "/v1", apiKey: KEY };
const openai = createOpenAI(fields);
const compatible = createOpenAICompatible({
  ...fields, name: "edge", supportsStructuredOutputs: true,
});
const anthropic = createAnthropic(fields);
const chat = openai.chat(MODEL);
const weather = z.object({ city: z.string() });
const ask = (model, more) => ({
  model, prompt: QUESTION, maxRetries: 0, ...more,
});

async function chats(model) {
  const result = await generateText(ask(model));
  same(result.finishReason, "stop");
  check(result.text && result.usage.outputTokens, result);
}

async function streams(model) {
  const result = streamText(ask(model));
  const texts = await all(result.textStream);
  check(texts.length > 1, texts);
  same(await result.finishReason, "stop");
}

async function calls(model, more) {
  const result = await generateText(ask(model, {
    tools: {
      get_weather: tool({
        description: "The weather of a city.", inputSchema: weather,
      }),
    },
    ...more,
  }));
  same(result.finishReason, "tool-calls");
  same(result.toolCalls[0].toolName, "get_weather");
  isCity(result.toolCalls[0].input);
}

function tools(asked) {
  return {
    get_weather: tool({
      description: "The weather of a city.",
      inputSchema: weather,
      execute: async (input) => (asked.push(input), "rain"),
    }),
  };
}

async function loops(model) {
  const asked = [];
  const result = await generateText(ask(model, {
    tools: tools(asked), stopWhen: stepCountIs(5),
  }));
  same(result.steps.length, 2);
  check(result.text, result);
  same(asked.length, 1);
  isCity(asked[0]);
}

async function loopsInAStream(model) {
  const asked = [];
  const result = streamText(ask(model, {
    tools: tools(asked), stopWhen: stepCountIs(5),
  }));
  const kinds = (await all(result.fullStream)).map((part) => part.type);
  check(kinds.includes("tool-input-delta") && kinds.includes("tool-result"),
    kinds);
  same(asked.length, 1);
}

async function structures(model) {
  const result = await generateText(ask(model, {
    output: Output.object({ schema: weather }),
  }));
  isCity(result.output);
}

await main([
  "ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "@ai-sdk/anthropic",
], {
  chat: () => chats(chat),
  stream: () => streams(chat),
  tool: () => calls(chat),
  tool_required: () => calls(chat, { toolChoice: "required" }),
  loop: () => loops(chat),
  loop_streamed: () => loopsInAStream(chat),
  structured: () => structures(chat),
  async structured_streamed() {
    const result = streamText(ask(chat, {
      output: Output.object({ schema: weather }),
    }));
    isCity((await all(result.partialOutputStream)).at(-1));
  },
  async settings() {
    const { text } = await generateText(ask(chat, {
      maxOutputTokens: 20, temperature: 0.5, topP: 0.9, seed: 1,
      presencePenalty: 0.5, frequencyPenalty: 0.5, stopSequences: ["!"],
      providerOptions: { openai: { logitBias: { 46: -5 }, user: "a" } },
    }));
    check(text, text);
  },
  async embeddings() {
    const { embeddings } = await embedMany({
      model: openai.embedding(VECTORS), values: ["one", "two"], maxRetries: 0,
    });
    same(embeddings.length, 2);
  },
  async image() {
    await refused(400, "messages[0]", () => generateText({
      model: chat,
      maxRetries: 0,
      messages: [{
        role: "user",
        content: [{
          type: "image", image: Buffer.from(IMAGE, "base64"),
          mediaType: "image/png",
        }],
      }],
    }));
  },
  responses: () => chats(openai(MODEL)),
  responses_stream: () => streams(openai(MODEL)),
  responses_loop: () => loops(openai(MODEL)),
  responses_loop_streamed: () => loopsInAStream(openai(MODEL)),
  responses_structured: () => structures(openai.responses(MODEL)),
  compatible_chat: () => chats(compatible(MODEL)),
  compatible_stream: () => streams(compatible(MODEL)),
  compatible_tool: () => calls(compatible(MODEL)),
  compatible_loop: () => loops(compatible(MODEL)),
  compatible_loop_streamed: () => loopsInAStream(compatible(MODEL)),
  compatible_structured: () => structures(compatible(MODEL)),
  anthropic_chat: () => chats(anthropic(MODEL)),
  anthropic_stream: () => streams(anthropic(MODEL)),
  anthropic_tool: () => calls(anthropic(MODEL)),
  anthropic_loop: () => loops(anthropic(MODEL)),
  anthropic_loop_streamed: () => loopsInAStream(anthropic(MODEL)),
  anthropic_structured: () => structures(anthropic(MODEL)),
});
