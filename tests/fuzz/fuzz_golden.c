/* Golden cases: signed with the release, but read as strictly as the rest. */
#include <flotilla/golden.h>

#include <stdlib.h>
#include <string.h>

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
        const char *text = c->prompt != NULL ? c->prompt : c->id;
        const struct flo_golden_likely likely[] = {{1, 0.5}, {2, 1}};
        struct flo_golden_follow follow = {0};
        flo_golden_follow(&follow, c);
        flo_golden_follow_token(&follow, likely, FLO_COUNT(likely));
        const struct flo_golden_answer answer = {
            .text = text, .bytes = strlen(text), .follow = &follow};
        if (c->n_expect == 0 || c->n_expect > FLO_GOLDEN_EXPECT_MAX + 3) {
            abort();
        }
        for (uint32_t k = 0; k < c->n_expect; k++) {
            if (c->expect[k].kind == FLO_GOLDEN_COSINE) {
                (void)flo_golden_set_vector(&golden.cases[i].expect[k], data, bytes, &err);
            }
        }
        (void)flo_golden_judge(c, 0, &answer, &err);
        (void)flo_golden_judge_rivals(&follow, text, &err);
    }
    flo_golden_deinit(&golden);
    return 0;
}
