/* Expression: any text is compiled or refused with a reason, and cuts any text
 * into pieces that make it up. */
#include <stdlib.h>
#include <string.h>

#include "engine/token/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void cut(const struct flo_splitter *splitter, const char *text, size_t bytes)
{
    struct flo_split split;
    const char *word, *at = text;
    size_t word_bytes;
    flo_split_init(&split, splitter, text, bytes);
    while (flo_split_next(&split, &word, &word_bytes)) {
        if (word != at || word_bytes == 0) {
            abort();
        }
        at += word_bytes;
    }
    if (!split.failed && at != text + bytes) {
        abort();
    }
    flo_split_deinit(&split);
}

/* The first line is the expression, the rest the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_splitter splitter = {0};
    struct flo_err err = {0};
    const char *text = (const char *)data;
    const char *end = bytes > 0 ? memchr(text, '\n', bytes) : NULL;
    size_t length = end != NULL ? (size_t)(end - text) : bytes;
    if (flo_splitter_add(&splitter, text, length, &err) == 0) {
        cut(&splitter, text, flo_utf8_valid(text, bytes));
    } else if (err.what[0] == '\0') {
        abort();
    }
    flo_splitter_close(&splitter);
    return 0;
}
