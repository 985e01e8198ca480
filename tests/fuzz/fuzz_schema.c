/* JSON Schema: any text becomes a program or is refused; what the program
 * takes is JSON, and fits the schema as a runtime's answers must. */
#include <stdlib.h>
#include <string.h>

#include "base/tree/tree.h"
#include "engine/grammar/form/form.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ANSWER_BYTES = 128 }; /* no deeper than flo_json_check() reads */

struct schema {
    const char *text;
    size_t bytes;
    bool is_checked; /* answers can be checked against it */
};

static bool fits(const struct schema *schema, const char *text, size_t bytes)
{
    struct flo_err err = {0};

    if (!flo_json_check(text, bytes)) {
        return false;
    }
    if (!schema->is_checked ||
        flo_form_check(schema->text, schema->bytes, text, bytes, &err) == 0) {
        return true;
    }
    if (strstr(err.what, "must be in its object once") != NULL) {
        return true; /* a name that the schema does not list, which no grammar counts */
    }
    fprintf(stderr, "%s\n", err.what);
    return false;
}

/* An answer that leans to `lean`: from there up the first byte that fits, so
 * that it closes what is open, or opens more. */
static void answer(const struct schema *schema, struct flo_matcher *m, uint32_t lean)
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
        if (m->states[at].may_end && !fits(schema, text, count)) {
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
    struct schema schema = {(const char *)data, bytes, false};
    struct flo_err err = {0};

    if (flo_schema_compile((const char *)data, bytes, &program, &err) == 0 &&
        flo_matcher_open(program, &none, 1, &matcher, &err) == 0) {
        schema.is_checked = flo_form_accept(schema.text, bytes, &err) == 0;
        answer(&schema, matcher, 0);
        answer(&schema, matcher, '"');
        answer(&schema, matcher, 0xe0);
    }
    flo_matcher_close(matcher);
    return 0;
}
