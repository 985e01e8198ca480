/* JSON Schema: any text becomes a grammar or is refused; a grammar that it
 * becomes can be compiled, or refused for its size or recursion. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_program program = {0};
    struct flo_buf gbnf = {.bytes_max = 1 << 20};
    struct flo_err err = {0};
    if (flo_schema_to_gbnf((const char *)data, bytes, &gbnf, &err) == 0) {
        int rv = flo_gbnf_compile(gbnf.data, gbnf.bytes, &program, &err);
        if (rv < 0 && strstr(err.what, "line ") != NULL &&
            strstr(err.what, "too deep") == NULL &&
            strstr(err.what, "too long") == NULL &&
            strstr(err.what, "at most") == NULL &&
            strstr(err.what, "{m,n}") == NULL) {
            fprintf(stderr, "%s\n%s\n", err.what, gbnf.data);
            abort(); /* we wrote no grammar */
        }
    }
    flo_program_deinit(&program);
    flo_buf_deinit(&gbnf);
    return 0;
}
