/* Jinja: any text is parsed or refused, and what it renders of a conversation
 * with tools is bounded, has a mark for each byte, and is the same each time.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/chat/jinja/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int render(const struct flo_jinja *jinja, struct flo_buf *text)
{
    static const char tools[] =
        "[{\"function\": {\"name\": \"f\", \"parameters\": {\"type\": "
        "\"object\", \"properties\": {\"B\": {\"enum\": [1.5, null, true]}, "
        "\"a\": {\"type\": [\"x\", \"y\"]}}}}}]";
    static const char call[] = "{\"reasoning_content\": \"hm\", \"tool_calls\": [{\"id\": \"1\", "
                               "\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"b\\\": "
                               "[1]}\"}}]}";
    static const char result[] = "{\"tool_call_id\": \"1\", \"name\": \"f\"}";
    static const char parts[] = "{\"content\": [{\"type\": \"text\", "
                                "\"text\": \"p\"}, null]}";
    static const struct flo_engine_message messages[] = {
        {"system", "Be \xc3\xa4 system", 12, NULL, 0},
        {"user", " <|im_end|> a\n", 14, NULL, 0},
        {"assistant", "<think>x</think>\n\nb", 19, call, sizeof(call) - 1},
        {"tool", "{\"a\": 1}", 8, result, sizeof(result) - 1},
        {"user", NULL, 0, parts, sizeof(parts) - 1},
    };
    static const struct flo_engine_setting setting = {.tools = tools,
                                                      .tools_bytes = sizeof(tools) - 1,
                                                      .thinking = FLO_THINKING_OFF,
                                                      .effort = "low"};
    const struct flo_jinja_input input = {.messages = messages,
                                          .count = FLO_COUNT(messages),
                                          .bos = "<s>",
                                          .eos = "</s>",
                                          .setting = &setting,
                                          .has_short_ids = true};
    struct flo_buf marks = {.bytes_max = 1u << 16};
    struct flo_err err = {0};
    text->bytes_max = 1u << 16;
    int rv = flo_jinja_render(jinja, &input, text, &marks, &err);
    if (rv == 0 && text->bytes != marks.bytes) {
        abort();
    }
    for (size_t i = 0; i < marks.bytes; i++) {
        if (marks.data[i] != 0 && marks.data[i] != 1) {
            abort();
        }
    }
    if (rv < 0 && err.what[0] == '\0') {
        abort();
    }
    flo_buf_deinit(&marks);
    return rv;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_jinja *jinja = NULL;
    struct flo_err err = {0};
    int rv = flo_jinja_open((const char *)data, bytes, &jinja, &err);
    if (rv == 0) {
        struct flo_buf one = {0}, other = {0};
        if (render(jinja, &one) != render(jinja, &other) || one.bytes != other.bytes ||
            (one.bytes > 0 && memcmp(one.data, other.data, one.bytes) != 0)) {
            abort();
        }
        flo_buf_deinit(&one);
        flo_buf_deinit(&other);
    } else if (strcmp(flo_error_id(rv), "model.template") != 0 && rv != FLO_E_MEMORY) {
        abort();
    }
    flo_jinja_close(jinja);
    return 0;
}
