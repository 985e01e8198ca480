/* A guard's question and verdict, as texts. */
#ifndef FLOTILLA_SERVE_GUARD_VERDICT_H
#define FLOTILLA_SERVE_GUARD_VERDICT_H

#include "agent/serve/front/front.h"

#define FLO_GUARD_TEXT_BYTES_MAX                                                                   \
    262144 /* an answer with its thoughts and calls, or an edited text */
#define FLO_GUARD_ANSWER_BYTES_MAX (2u << 20) /* a program says so much */

enum guard_verdict_kind {
    GUARD_PASSED,
    GUARD_EDITED,
    GUARD_REFUSED,
    GUARD_FAILED, /* no verdict came */
    GUARD_VERDICTS
};
struct guard_verdict {
    enum guard_verdict_kind kind;
    struct flo_buf text; /* GUARD_EDITED: what goes on */
    char reason[256];    /* GUARD_REFUSED: for the client */
};

/* The object that a program reads: the messages and tools, or the prompt, of a
 * request; or the answer that request->kept has. */
void flo_guard_question(const struct serve_request *request, enum flo_guard_stage stage,
                        const char *model, struct flo_buf *out);
/* The same for a model: text, behind the guard's own.  Where a program reads
 * members, a line has their JSON. */
void flo_guard_ask(const struct serve_request *request, enum flo_guard_stage stage,
                   const struct flo_serve_guard *guard, struct flo_buf *out);
/* The object that a program wrote.  FLO_E_INFER_GUARD_FAILED; out->text is to
 * be freed in any case. */
FLO_MUST_USE int flo_guard_verdict_read(const char *text, size_t bytes, struct guard_verdict *out,
                                        struct flo_err *err);
/* The answer of a model.  FLO_E_INFER_GUARD_FAILED. */
FLO_MUST_USE int flo_guard_verdict_of(const struct flo_serve_guard *guard,
                                      struct flo_wire_text answer, struct guard_verdict *out,
                                      struct flo_err *err);

#endif
