"""The calls of real client packages that the local API answers.

Each program in this folder makes those of one package, each in a function of the
row's name.  `test_clients.py` plays them, and tools/docs.py writes
docs/clients.md from the same rows."""
import json
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))

# Parts of the server that are not there yet: begin of a row's name -> the part.
WAITS = {
    "responses": "`/v1/responses` is not built",
    "n": "`n` other than 1 is not built",
    "completions_of_a_list": "lists of prompts are not built",
}

# A row's last word, or the whole of it, and what the client must have got.
GETS = {
    "models": "the served models, by name",
    "chat": "a text, its finish reason, tokens counted",
    "stream": "the same text in pieces, and the end",
    "asynchronous": "an answer, from the asynchronous client",
    "generate": "a text without a chat, whole and in pieces",
    "tool": "one call; its arguments fit the schema",
    "tool_named": "a call of this tool by a model that would not call",
    "tool_required": "a call, where one is required",
    "tool_streamed": "the call out of a stream's pieces",
    "called_and_used": "the tool's result: the call was made",
    "loop": "the call, then its result as history, then a text",
    "loop_streamed": "the same, each answer as a stream",
    "tool_runner": "the same, run by the client's own loop",
    "required": "the same, the first call required",
    "history": "an answer to a second question of the same talk",
    "structured": "an object of the asked class, by a JSON Schema",
    "structured_by_tool": "the same, by a call of a tool",
    "structured_streamed": "the same out of a stream",
    "n": "as many choices as were asked for",
    "logit_bias": "the token that is wanted, alone",
    "penalties": "an answer; beyond the range: 400",
    "settings": "an answer under all usual settings",
    "options": "an answer under all usual options",
    "think": "an answer without thoughts",
    "program": "its command line prints an object of the schema",
    "completions": "a continued text, cut at its limit",
    "completions_of_a_list": "a text for each prompt",
    "embeddings": "a vector for each text",
    "count_tokens": "more tokens with a tool than without",
    "image": "400, which says where the image stands",
    "images": "400, which says that no image is made",
    "moderations": "400, which says what stands in its place",
    "pull": "400, which says how models come",
    "stored": "an answer that goes on from the one before",
}


class Program:
    """A program with its packages, and its rows: a name and the package's own
    words for the call."""

    def __init__(self, file, environment, packages, rows):
        self.file, self.environment = file, environment
        self.packages, self.rows = packages.split(), rows


PROGRAMS = [
    Program("with_openai.py", "python", "openai", [
        ("models", "models.list, models.retrieve"),
        ("chat", "chat.completions.create"),
        ("stream", "create(stream=True), include_usage"),
        ("asynchronous", "AsyncOpenAI, create(stream=True)"),
        ("tool", "create(tools)"),
        ("tool_named", "create(tools, tool_choice)"),
        ("tool_streamed", "chat.completions.stream, pydantic_function_tool"),
        ("loop", "create with role tool"),
        ("structured", "chat.completions.parse"),
        ("structured_streamed", "chat.completions.stream(response_format)"),
        ("n", "create(n=3)"),
        ("logit_bias", "create(logit_bias)"),
        ("penalties", "create(presence_penalty, frequency_penalty)"),
        ("completions", "completions.create(stream=True)"),
        ("completions_of_a_list", "completions.create(prompt=[...])"),
        ("embeddings", "embeddings.create(dimensions)"),
        ("image", "create with image_url"),
        ("images", "images.generate"),
        ("moderations", "moderations.create"),
        ("responses", "responses.create(instructions)"),
        ("responses_stream", "responses.stream"),
        ("responses_loop", "responses.create(tools), function_call_output"),
        ("responses_structured", "responses.parse"),
        ("responses_stored", "responses.create(previous_response_id)"),
    ]),
    Program("with_openai.mjs", "node", "openai", [
        ("models", "models.list"),
        ("chat", "chat.completions.create"),
        ("stream", "create({stream: true})"),
        ("tool", "create({tools})"),
        ("tool_streamed", "chat.completions.stream"),
        ("loop", "chat.completions.runTools"),
        ("structured", "chat.completions.parse, zodResponseFormat"),
        ("n", "create({n: 2})"),
        ("logit_bias", "create({logit_bias})"),
        ("penalties", "create({presence_penalty, frequency_penalty})"),
        ("embeddings", "embeddings.create"),
        ("image", "create with image_url"),
        ("moderations", "moderations.create"),
        ("responses", "responses.create"),
        ("responses_stream", "responses.create({stream: true})"),
        ("responses_structured", "responses.parse, zodTextFormat"),
    ]),
    Program("with_anthropic.py", "python", "anthropic", [
        ("models", "models.list"),
        ("chat", "messages.create(system)"),
        ("stream", "messages.stream"),
        ("asynchronous", "AsyncAnthropic, messages.create"),
        ("tool", "messages.create(tools)"),
        ("tool_streamed", "messages.stream(tools)"),
        ("loop", "messages.create with tool_result"),
        ("tool_runner", "beta.messages.tool_runner, beta_tool"),
        ("structured", "messages.parse(output_format)"),
        ("count_tokens", "messages.count_tokens"),
        ("image", "messages.create with an image"),
    ]),
    Program("with_anthropic.mjs", "node", "@anthropic-ai/sdk", [
        ("models", "models.list"),
        ("chat", "messages.create"),
        ("stream", "messages.stream"),
        ("tool", "messages.create({tools})"),
        ("tool_streamed", "messages.stream({tools})"),
        ("loop", "messages.create with tool_result"),
        ("tool_runner", "beta.messages.toolRunner, betaZodTool"),
        ("structured", "messages.parse, zodOutputFormat"),
        ("count_tokens", "messages.countTokens"),
        ("image", "messages.create with an image"),
    ]),
    Program("with_ollama.py", "python", "ollama", [
        ("models", "list, ps, show"),
        ("chat", "chat"),
        ("stream", "chat(stream=True)"),
        ("asynchronous", "AsyncClient, chat(stream=True)"),
        ("generate", "generate"),
        ("tool", "chat(tools=[function])"),
        ("tool_streamed", "chat(tools, stream=True)"),
        ("loop", "chat with role tool"),
        ("structured", "chat(format)"),
        ("think", "chat(think=False)"),
        ("embeddings", "embed"),
        ("options", "chat(options, keep_alive)"),
        ("image", "chat with images"),
        ("pull", "pull"),
    ]),
    Program("with_ollama.mjs", "node", "ollama", [
        ("models", "list, ps, show, version"),
        ("chat", "chat"),
        ("stream", "chat({stream: true})"),
        ("generate", "generate"),
        ("tool", "chat({tools})"),
        ("tool_streamed", "chat({tools, stream: true})"),
        ("loop", "chat with role tool"),
        ("structured", "chat({format})"),
        ("embeddings", "embed"),
        ("image", "chat with images"),
        ("pull", "pull"),
    ]),
    Program("with_langchain.py", "python",
            "langchain-openai langchain-ollama langchain-anthropic", [
        ("chat", "ChatOpenAI.invoke"),
        ("stream", "ChatOpenAI.stream"),
        ("tool", "bind_tools"),
        ("tool_named", "bind_tools(tool_choice, strict)"),
        ("tool_streamed", "bind_tools, stream"),
        ("loop", "invoke with a ToolMessage"),
        ("structured", "with_structured_output"),
        ("structured_by_tool",
         'with_structured_output(method="function_calling")'),
        ("n", "ChatOpenAI(n=2).generate"),
        ("penalties", "ChatOpenAI(presence_penalty)"),
        ("embeddings", "OpenAIEmbeddings.embed_documents"),
        ("image", "invoke with an image"),
        ("responses", "ChatOpenAI(use_responses_api=True)"),
        ("responses_loop", "the same with tools"),
        ("ollama_chat", "ChatOllama.invoke"),
        ("ollama_stream", "ChatOllama.stream"),
        ("ollama_tool", "bind_tools"),
        ("ollama_tool_streamed", "bind_tools, stream"),
        ("ollama_loop", "invoke with a ToolMessage"),
        ("ollama_structured", "with_structured_output"),
        ("ollama_embeddings", "OllamaEmbeddings.embed_documents"),
        ("anthropic_chat", "ChatAnthropic.invoke"),
        ("anthropic_stream", "ChatAnthropic.stream"),
        ("anthropic_tool", 'bind_tools(tool_choice="any")'),
        ("anthropic_tool_streamed", "bind_tools, stream"),
        ("anthropic_loop", "invoke with a ToolMessage"),
        ("anthropic_structured", "with_structured_output"),
    ]),
    Program("with_llama_index.py", "llama-index",
            "llama-index-llms-openai-like llama-index-llms-ollama", [
        ("chat", "OpenAILike.chat, complete"),
        ("stream", "stream_chat"),
        ("tool", "chat_with_tools"),
        ("tool_streamed", "stream_chat_with_tools"),
        ("called_and_used", "predict_and_call"),
        ("loop_streamed", "FunctionAgent.run"),
        ("structured", "structured_predict"),
        ("structured_by_tool", "as_structured_llm"),
        ("image", "chat with an ImageBlock"),
        ("ollama_chat", "Ollama.chat, complete"),
        ("ollama_stream", "stream_chat"),
        ("ollama_tool", "chat_with_tools"),
        ("ollama_tool_streamed", "stream_chat_with_tools"),
        ("ollama_loop_streamed", "FunctionAgent.run"),
        ("ollama_structured", "structured_predict"),
    ]),
    Program("with_pydantic_ai.py", "python", "pydantic-ai-slim", [
        ("chat", "Agent(OpenAIChatModel).run_sync"),
        ("stream", "run_stream, stream_text"),
        ("loop", "tool_plain, run_sync"),
        ("loop_streamed", "run_stream_events"),
        ("history", "run_sync(message_history)"),
        ("structured", "Agent(output_type=NativeOutput)"),
        ("structured_by_tool", "Agent(output_type)"),
        ("settings", "run_sync(model_settings)"),
        ("image", "run_sync with BinaryContent"),
        ("responses", "Agent(OpenAIResponsesModel).run_sync"),
        ("responses_stream", "run_stream"),
        ("responses_loop", "tool_plain, run_sync"),
        ("responses_structured", "NativeOutput"),
        ("ollama_loop", "OllamaModel, tool_plain"),
        ("anthropic_chat", "Agent(AnthropicModel).run_sync"),
        ("anthropic_stream", "run_stream"),
        ("anthropic_loop", "tool_plain, run_sync"),
        ("anthropic_structured", "Agent(output_type)"),
    ]),
    Program("with_openai_agents.py", "python", "openai-agents", [
        ("chat", "Runner.run, OpenAIChatCompletionsModel"),
        ("stream", "Runner.run_streamed"),
        ("loop", "function_tool, Runner.run"),
        ("loop_streamed", "function_tool, Runner.run_streamed"),
        ("required", 'ModelSettings(tool_choice="required")'),
        ("history", "to_input_list"),
        ("structured", "Agent(output_type)"),
        ("responses", "Runner.run, OpenAIResponsesModel"),
        ("responses_stream", "Runner.run_streamed"),
        ("responses_loop", "function_tool, Runner.run"),
        ("responses_loop_streamed", "function_tool, Runner.run_streamed"),
        ("responses_structured", "Agent(output_type)"),
    ]),
    Program("with_litellm.py", "python", "litellm", [
        ("chat", 'completion("openai/...")'),
        ("stream", "completion(stream=True)"),
        ("tool", "completion(tools)"),
        ("tool_streamed", "stream_chunk_builder"),
        ("loop", "completion with role tool"),
        ("structured", "completion(response_format)"),
        ("n", "completion(n=2)"),
        ("penalties", "completion(presence_penalty, logit_bias)"),
        ("completions", "text_completion"),
        ("embeddings", "embedding"),
        ("image", "completion with image_url"),
        ("responses", "responses"),
        ("ollama_chat", 'completion("ollama_chat/...")'),
        ("ollama_stream", "completion(stream=True)"),
        ("ollama_tool", "completion(tools)"),
        ("ollama_loop", "completion with role tool"),
        ("ollama_structured", "completion(response_format)"),
        ("anthropic_chat", 'completion("anthropic/...")'),
        ("anthropic_stream", "completion(stream=True)"),
        ("anthropic_tool", "completion(tools)"),
        ("anthropic_tool_streamed", "stream_chunk_builder"),
        ("anthropic_loop", "completion with role tool"),
    ]),
    Program("with_llm.py", "python", "llm", [
        ("chat", "prompt(stream=False)"),
        ("stream", "prompt"),
        ("tool", "prompt(tools).tool_calls"),
        ("loop", "chain(tools, stream=False)"),
        ("loop_streamed", "chain(tools)"),
        ("history", "conversation"),
        ("structured", "prompt(schema)"),
        ("options", "prompt(max_tokens, temperature, ...)"),
        ("program", "`llm -m MODEL --schema`"),
        ("image", "prompt(attachments)"),
        ("responses_loop", "chain(tools), with `responses: true`"),
    ]),
    Program("with_ai.mjs", "node", "ai @ai-sdk/openai "
            "@ai-sdk/openai-compatible @ai-sdk/anthropic", [
        ("chat", "generateText, openai.chat"),
        ("stream", "streamText"),
        ("tool", "generateText({tools})"),
        ("tool_required", 'generateText({toolChoice: "required"})'),
        ("loop", "generateText({stopWhen})"),
        ("loop_streamed", "streamText({stopWhen})"),
        ("structured", "Output.object"),
        ("structured_streamed", "partialOutputStream"),
        ("settings", "generateText with settings"),
        ("embeddings", "embedMany"),
        ("image", "generateText with an image"),
        ("responses", "generateText, openai"),
        ("responses_stream", "streamText"),
        ("responses_loop", "generateText({stopWhen})"),
        ("responses_loop_streamed", "streamText({stopWhen})"),
        ("responses_structured", "Output.object"),
        ("compatible_chat", "createOpenAICompatible, generateText"),
        ("compatible_stream", "streamText"),
        ("compatible_tool", "generateText({tools})"),
        ("compatible_loop", "generateText({stopWhen})"),
        ("compatible_loop_streamed", "streamText({stopWhen})"),
        ("compatible_structured", "Output.object"),
        ("anthropic_chat", "createAnthropic, generateText"),
        ("anthropic_stream", "streamText"),
        ("anthropic_tool", "generateText({tools})"),
        ("anthropic_loop", "generateText({stopWhen})"),
        ("anthropic_loop_streamed", "streamText({stopWhen})"),
        ("anthropic_structured", "Output.object"),
    ]),
]


def way_of(name):
    """The API that a row speaks where the program has several, and the rest of
    its name."""
    way, _, rest = name.partition("_")
    if way in ("ollama", "anthropic", "compatible", "responses"):
        return way, rest or "chat"
    return "", name


def gets(name):
    """The end of a row's sentence."""
    return GETS[way_of(name)[1]]


def waits(name):
    """The part of the server that it waits for; None: none."""
    for begin, why in WAITS.items():
        if name == begin or name.startswith(begin + "_"):
            return why
    return None


def versions(environment):
    """package -> version, as pinned."""
    if environment == "node":
        path = os.path.join(HERE, "package-lock.json")
        with open(path, encoding="utf-8") as file:
            packages = json.load(file)["packages"]
        return {name.removeprefix("node_modules/"): of["version"]
                for name, of in packages.items() if "version" in of}
    with open(os.path.join(HERE, environment + ".txt"),
              encoding="utf-8") as file:
        return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", file.read(), re.M))
