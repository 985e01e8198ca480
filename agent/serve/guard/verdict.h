/* Verdict: a guard's question and verdict as texts. */
#ifndef FLOTILLA_SERVE_GUARD_VERDICT_H
#define FLOTILLA_SERVE_GUARD_VERDICT_H

#include "agent/serve/front/front.h"

#define FLO_GUARD_TEXT_BYTES_MAX                                                                   \
    262144 /* limit of an answer with its thoughts and calls, or of an edited text */
#define FLO_GUARD_ANSWER_BYTES_MAX (2u << 20) /* limit of a program's output */

enum guard_verdict_kind {
    GUARD_PASSED,
    GUARD_EDITED,
    GUARD_REFUSED,
    GUARD_FAILED, /* no verdict came */
    GUARD_VERDICTS
};
struct guard_verdict {
    enum guard_verdict_kind kind;
    struct flo_buf text; /* for GUARD_EDITED: the replacement text */
    char reason[256];    /* for GUARD_REFUSED: reason that the client gets */
};

/* Writes the JSON object for a program: the request's messages and tools, or
 * its prompt; or the answer in request->kept. */
void flo_guard_question(const struct serve_request *request, enum flo_guard_stage stage,
                        const char *model, struct flo_buf *out);
/* Writes the question for a model: the guard's own text, then the checked text.
 * Members that a program gets as JSON become lines of JSON. */
void flo_guard_ask(const struct serve_request *request, enum flo_guard_stage stage,
                   const struct flo_serve_guard *guard, struct flo_buf *out);
/* Parses the object that a program wrote.  FLO_E_INFER_GUARD_FAILED; out->text
 * must be freed in any case. */
FLO_MUST_USE int flo_guard_verdict_read(const char *text, size_t bytes, struct guard_verdict *out,
                                        struct flo_err *err);
/* Parses the answer of a model.  FLO_E_INFER_GUARD_FAILED. */
FLO_MUST_USE int flo_guard_verdict_of(const struct flo_serve_guard *guard,
                                      struct flo_wire_text answer, struct guard_verdict *out,
                                      struct flo_err *err);

#endif
