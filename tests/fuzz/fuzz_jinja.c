/* Jinja: any text is parsed or refused, and what it renders is bounded, has a
 * mark for each byte, and is the same each time. */
#include <stdlib.h>
#include <string.h>

#include "engine/chat/jinja/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int render(const struct flo_jinja *jinja, struct flo_buf *text)
{
    static const struct flo_engine_message messages[] = {
        {.role = "system", .text = "Be \xc3\xa4 system", .bytes = 12},
        {.role = "user", .text = " <|im_end|> a\n", .bytes = 14},
        {.role = "assistant", .text = "<think>x</think>\n\nb", .bytes = 19},
        {.role = "tool", .text = "{\"a\": 1}", .bytes = 8},
        {.role = "user", .text = "", .bytes = 0},
    };
    const struct flo_jinja_input input = {.messages = messages,
                                          .count = FLO_COUNT(messages),
                                          .bos = "<s>",
                                          .eos = "</s>"};
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
        if (render(jinja, &one) != render(jinja, &other) ||
            one.bytes != other.bytes ||
            (one.bytes > 0 && memcmp(one.data, other.data, one.bytes) != 0)) {
            abort();
        }
        flo_buf_deinit(&one);
        flo_buf_deinit(&other);
    } else if (rv != FLO_E_MODEL_TEMPLATE && rv != FLO_E_MEMORY) {
        abort();
    }
    flo_jinja_close(jinja);
    return 0;
}
