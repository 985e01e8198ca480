/* Declares the functions that serve OpenAI's API, and llama.cpp's additions to
 * it. */
#ifndef FLOTILLA_SERVE_OPENAI_H
#define FLOTILLA_SERVE_OPENAI_H

#include "agent/serve/front/choices.h"

extern const struct serve_front flo_openai_chat;       /* chat.c */
extern const struct serve_front flo_openai_text;       /* text.c */
extern const struct serve_front flo_openai_speech;     /* audio.c */
extern const struct serve_front flo_openai_vectors;    /* vectors.c */
extern const struct serve_front flo_openai_rerank;     /* rerank.c */
extern const struct serve_front flo_openai_refused;    /* refused.c */
extern const struct serve_front flo_openai_tokenise;   /* vectors.c */
extern const struct serve_front flo_openai_detokenise; /* vectors.c */

/* Reads a form with a WAV file, as flo_params_read() reads a body. */
FLO_MUST_USE int flo_params_read_audio(const char *content_type, const char *body, size_t bytes,
                                       struct serve_params *params, struct flo_err *err);

/* ---- parts that its fronts share: shapes.c ---- */

/* Writes {"error":...}.  It is fail() of all fronts of OpenAI's API. */
void flo_openai_fail(struct serve_failure *failure, struct flo_buf *out);
/* {"id":...,"object":...,"system_fingerprint":null, */
void flo_openai_add_head(const struct serve_request *request, const char *object,
                         struct flo_buf *out);
/* Writes the member "choices" of a whole answer, each choice by
 * front->choice(). */
void flo_openai_add_choices(struct serve_request *request, const struct flo_wire_done *done,
                            struct flo_buf *out);
/* "usage":{...},"timings":{...} */
void flo_openai_add_usage(const struct serve_request *request, const struct flo_wire_done *done,
                          struct flo_buf *out);
/* Writes the end of an event: its log-probabilities, its finish reason, and the
 * end of its list.  `finish` NULL: more events follow. */
void flo_openai_end_event(struct serve_request *request, const char *finish, struct flo_buf *out);
/* Writes the last events of a stream: the usage if the client wants it, and
 * [DONE].  With several choices, only the last one writes them. */
void flo_openai_end_stream(const struct serve_request *request, const char *object,
                           const struct flo_wire_done *done, struct flo_buf *out);
/* Writes the stored log-probabilities, or null, as the value of "logprobs", and
 * drops them (logprobs.c). */
void flo_openai_add_logprobs(struct serve_request *request, struct flo_buf *out);

#endif
