/* An answer and its schema: any schema is accepted or refused, any answer fits
 * or has a fault, whatever its white space is. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/form/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int check(const char *schema, size_t schema_bytes, const char *answer, size_t bytes)
{
    struct flo_err err = {0};
    int rv = flo_form_check(schema, schema_bytes, answer, bytes, &err);

    if (rv < 0 && (rv != err.code || (rv != FLO_E_INFER_FORM && rv != FLO_E_MEMORY) ||
                   strncmp(err.what, "answer", 6) != 0)) {
        abort();
    }
    return rv;
}

/* The answer as it is printed from its tree. */
static void print(const char *answer, size_t bytes, struct flo_buf *out)
{
    char *text = malloc(bytes + 1);
    struct flo_tree tree = {0};

    memcpy(text, answer, bytes);
    if (flo_tree_read(&tree, text, bytes, 0, 0, NULL, NULL) == 0 && !tree.has_odd) {
        flo_tree_print(tree.nodes, out);
    }
    flo_tree_deinit(&tree);
    free(text);
}

/* A schema, a NUL, an answer.  Without a NUL any object fits. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = memchr(data, 0, bytes);
    const char *schema = end != NULL ? (const char *)data : NULL;
    size_t schema_bytes = end != NULL ? (size_t)(end - data) : 0;
    const char *answer = end != NULL ? (const char *)end + 1 : (const char *)data;
    size_t rest = bytes - schema_bytes - (end != NULL);
    struct flo_buf printed = {0};
    struct flo_err err = {0};

    if (schema != NULL && flo_form_accept(schema, schema_bytes, &err) < 0) {
        if (err.code != FLO_E_INFER_SCHEMA && err.code != FLO_E_MEMORY) {
            abort();
        }
        return 0;
    }
    int rv = check(schema, schema_bytes, answer, rest);
    print(answer, rest, &printed);
    if (printed.bytes > 0 && check(schema, schema_bytes, printed.data, printed.bytes) != rv) {
        abort();
    }
    flo_buf_deinit(&printed);
    return 0;
}
