/* Verdict: a guard's question and verdict as texts. */
#ifndef FLOTILLA_SERVE_GUARD_VERDICT_H
#define FLOTILLA_SERVE_GUARD_VERDICT_H

#include "agent/serve/front/front.h"

#define FLO_GUARD_TEXT_BYTES_MAX                                                                   \
    262144 /* limit of an answer with its thoughts and calls, or of an edited text */
/* largest number of bytes in a program's output */
#define FLO_GUARD_ANSWER_BYTES_MAX (2u << 20)

enum guard_verdict_kind {
    GUARD_PASSED,
    GUARD_EDITED,
    GUARD_REFUSED,
    GUARD_FAILED, /* no verdict came */
    GUARD_VERDICTS
};
struct guard_verdict {
    enum guard_verdict_kind kind;
    struct flo_buf text; /* replacement for the text that was checked, for GUARD_EDITED */
    char reason[256];    /* reason that the client gets, for GUARD_REFUSED */
};

/* Writes the question for a program as a JSON object: the messages and tools of
 * the request or its prompt, or else the answer in request->kept. */
void flo_guard_question(const struct serve_request *request, enum flo_guard_stage stage,
                        const char *model, struct flo_buf *out);
/* Writes the question for a model: the guard's own text, then the text to
 * check.  Each member that a program would get in its JSON is a line of JSON
 * here. */
void flo_guard_ask(const struct serve_request *request, enum flo_guard_stage stage,
                   const struct flo_serve_guard *guard, struct flo_buf *out);
/* Reads the JSON object that a program wrote.  The caller frees out->text in
 * any case.
 * FLO_E_INFER_GUARD_FAILED  it is no verdict */
FLO_MUST_USE int flo_guard_verdict_read(const char *text, size_t bytes, struct guard_verdict *out,
                                        struct flo_err *err);
/* Reads the verdict in a model's answer.
 * FLO_E_INFER_GUARD_FAILED  the answer is no verdict */
FLO_MUST_USE int flo_guard_verdict_of(const struct flo_serve_guard *guard,
                                      struct flo_wire_text answer, struct guard_verdict *out,
                                      struct flo_err *err);

#endif
