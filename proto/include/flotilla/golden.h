/* Golden cases (flotilla-golden-1): prompts whose answers are known.  The
 * probe plays them on a candidate; the publisher's tools look at them before
 * they are signed.  The format: docs/reference/golden.md. */
#ifndef FLOTILLA_GOLDEN_H
#define FLOTILLA_GOLDEN_H

#include <flotilla/base.h>

#define FLO_GOLDEN_BYTES_MAX (1u << 20) /* what a device reads */
#define FLO_GOLDEN_CASES_MAX 1000
#define FLO_GOLDEN_CONTAINS_MAX 16
#define FLO_GOLDEN_TOKENS_MAX 4096

struct flo_golden_case {
    const char *id;
    const char *prompt;
    size_t prompt_bytes;
    bool is_raw; /* prompt holds the template; else it is a user's message */
    uint32_t tokens_max;
    uint32_t n_contains;
    const char *contains[FLO_GOLDEN_CONTAINS_MAX];
    bool has_tokens; /* exact ids are to be compared */
    uint32_t n_tokens;
    int32_t *tokens;
};
struct flo_golden {
    void *document; /* owns the texts */
    uint32_t n_cases;
    struct flo_golden_case *cases;
};
/* FLO_E_META_SCHEMA, FLO_E_META_JSON, ... with the case named. */
FLO_MUST_USE int flo_golden_read(const char *text, size_t bytes,
                                 struct flo_golden *golden,
                                 struct flo_err *err);
void flo_golden_deinit(struct flo_golden *golden);
/* Does an answer pass? */
bool flo_golden_passes(const struct flo_golden_case *golden_case,
                       const char *text, const int32_t *tokens,
                       uint32_t n_tokens);

#endif
