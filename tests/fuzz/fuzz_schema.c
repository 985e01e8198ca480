/* JSON Schema: any text becomes a program or is refused; what the program
 * takes is JSON. */
#include <stdlib.h>

#include "base/tree/tree.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ANSWER_BYTES = 128 }; /* no deeper than flo_json_check() reads */

/* An answer that leans to `lean`: from there up the first byte that fits, so
 * that it closes what is open, or opens more. */
static void answer(struct flo_matcher *m, uint32_t lean)
{
    uint32_t at = flo_matcher_start(m);
    char text[ANSWER_BYTES];
    size_t count = 0;

    while (count < sizeof(text) && !flo_matcher_must_end(m, at)) {
        uint32_t i = 0;

        for (; i < 256; i++) {
            text[count] = (char)(lean + i);
            if (flo_matcher_walk(m, &at, &text[count], 1)) {
                break;
            }
        }
        if (i == 256) {
            return;
        }
        count++;
        if (m->states[at].may_end && !flo_json_check(text, count)) {
            fprintf(stderr, "%.*s\n", (int)count, text);
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct flo_pieces none;
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_err err = {0};

    if (flo_schema_compile((const char *)data, bytes, &program, &err) == 0 &&
        flo_matcher_open(program, &none, 1, &matcher, &err) == 0) {
        answer(matcher, 0);
        answer(matcher, '"');
        answer(matcher, 0xe0);
    }
    flo_matcher_close(matcher);
    return 0;
}
