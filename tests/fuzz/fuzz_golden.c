/* Golden cases: signed with the release, but read as strictly as the rest. */
#include <flotilla/golden.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_golden golden;
    struct flo_err err = {0};
    if (flo_golden_read((const char *)data, bytes, &golden, &err) < 0) {
        if (err.what[0] == '\0') {
            abort();
        }
        return 0;
    }
    for (uint32_t i = 0; i < golden.n_cases; i++) {
        const struct flo_golden_case *c = &golden.cases[i];
        (void)flo_golden_passes(c, c->prompt, c->tokens, c->n_tokens);
    }
    flo_golden_deinit(&golden);
    return 0;
}
