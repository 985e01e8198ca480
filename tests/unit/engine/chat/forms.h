/* Forms of calls, as templates of several families have them, and two tools. */
#ifndef FLOTILLA_TESTS_CHAT_FORMS_H
#define FLOTILLA_TESTS_CHAT_FORMS_H

#include "engine/chat/calls/form.h"

#define TOOLS                                                                                      \
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{"                      \
    "\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},"                          \
    "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},"                                 \
    "\"unit\":{\"type\":\"string\",\"enum\":[\"C\",\"K\"]},"                                       \
    "\"dry\":{\"type\":\"boolean\"},"                                                              \
    "\"on\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"                                 \
    "\"by\":{\"type\":[\"string\",\"null\"]},"                                                     \
    "\"at\":{\"anyOf\":[{\"type\":\"string\",\"maxLength\":6},{\"type\":"                          \
    "\"null\"}]},"                                                                                 \
    "\"in\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"array\","                       \
    "\"items\":{\"type\":\"object\",\"properties\":{\"y\":{\"type\":"                              \
    "\"string\"}}}},\"z\":{}}}},"                                                                  \
    "\"required\":[\"city\"]}}},"                                                                  \
    "{\"type\":\"function\",\"function\":{\"name\":\"get_now\"}}]"

#define TEXT(t)                                                                                    \
    {                                                                                              \
        .data = t, .bytes = sizeof(t) - 1                                                          \
    }

static const struct flo_call_form hermes = {
    .kind = FLO_CALLS_JSON,
    .wakes = 11,
    .open = TEXT("<tool_call>\n{\"name\": \""),
    .mid = TEXT("\", \"arguments\": "),
    .next = TEXT("}\n</tool_call>\n<tool_call>\n{\"name\": \""),
    .close = TEXT("}\n</tool_call>"),
    .thought_open = TEXT("<think>"),
    .thought_close = TEXT("</think>"),
};
static const struct flo_call_form bare = {
    .kind = FLO_CALLS_JSON,
    .is_bare = true,
    .wakes = 1,
    .open = TEXT("{\"name\": \""),
    .mid = TEXT("\", \"parameters\": "),
    .next = TEXT("}; {\"name\": \""),
    .close = TEXT("}"),
};
static const struct flo_call_form fields = {
    .kind = FLO_CALLS_FIELDS,
    .wakes = 11,
    .open = TEXT("<tool_call>\n<function="),
    .mid = TEXT(">"),
    .field_open = TEXT("\n<parameter="),
    .equals = TEXT(">\n"),
    .field_close = TEXT("\n</parameter>"),
    .next = TEXT("\n</function>\n</tool_call>\n<tool_call>\n<function="),
    .close = TEXT("\n</function>\n</tool_call>"),
};
static const struct flo_call_form snake = {
    .kind = FLO_CALLS_FIELDS,
    .is_python = true,
    .wakes = 11,
    .open = TEXT("<tool_call>\n<function="),
    .mid = TEXT(">"),
    .field_open = TEXT("\n<parameter="),
    .equals = TEXT(">\n"),
    .field_close = TEXT("\n</parameter>"),
    .next = TEXT("\n</function>\n</tool_call>\n<tool_call>\n<function="),
    .close = TEXT("\n</function>\n</tool_call>"),
};
static const struct flo_call_form python = {
    .kind = FLO_CALLS_FIELDS,
    .is_python = true,
    .wakes = 8,
    .open = TEXT("<|call|>["),
    .mid = TEXT("("),
    .equals = TEXT("="),
    .quote = TEXT("\""),
    .separator = TEXT(", "),
    .next = TEXT("), "),
    .close = TEXT(")]"),
};

static const struct flo_call_form harmony = {
    .kind = FLO_CALLS_JSON,
    .wakes = 14,
    .open = TEXT(" to=functions."),
    .mid = TEXT("<|channel|>commentary json<|message|>"),
    .close = TEXT("<|call|>"),
    .thought_open = TEXT("<|channel|>analysis<|message|>"),
    .thought_close = TEXT("<|end|><|start|>assistant"),
    .channel = TEXT("<|channel|>"),
    .body = TEXT("<|message|>"),
    .channel_open = TEXT("<|channel|>commentary to=functions."),
    .channel_mid = TEXT(" json<|message|>"),
};
static const struct flo_call_form marked = {
    .kind = FLO_CALLS_FIELDS,
    .wakes = 17,
    .open = TEXT("<|tool_call>call:"),
    .mid = TEXT("{"),
    .equals = TEXT(":"),
    .quote = TEXT("<|\"|>"),
    .separator = TEXT(","),
    .next = TEXT("}<tool_call|><|tool_call>call:"),
    .close = TEXT("}<tool_call|>"),
};
static const struct flo_call_form *const forms[] = {&hermes, &bare,    &fields, &snake,
                                                    &python, &harmony, &marked};

#endif
