/* OpenAI's API, and what llama.cpp's server has next to it: its fronts. */
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

/* A form with a WAV file, as flo_params_read(). */
FLO_MUST_USE int flo_params_read_audio(const char *content_type, const char *body, size_t bytes,
                                       struct serve_params *params, struct flo_err *err);

/* ---- parts that its fronts share: shapes.c ---- */

/* {"error":...}: every front's fail(). */
void flo_openai_fail(struct serve_failure *failure, struct flo_buf *out);
/* {"id":...,"object":...,"system_fingerprint":null, */
void flo_openai_add_head(const struct serve_request *request, const char *object,
                         struct flo_buf *out);
/* "choices":[...], of a whole answer, by front->choice() */
void flo_openai_add_choices(struct serve_request *request, const struct flo_wire_done *done,
                            struct flo_buf *out);
/* "usage":{...},"timings":{...} */
void flo_openai_add_usage(const struct serve_request *request, const struct flo_wire_done *done,
                          struct flo_buf *out);
/* ,"logprobs":...,"finish_reason":...} and the end of its list.  finish NULL:
 * not the last one. */
void flo_openai_end_event(struct serve_request *request, const char *finish, struct flo_buf *out);
/* The last events of a stream: the usage if it is wanted, and [DONE]; of
 * several choices after the last one's. */
void flo_openai_end_stream(const struct serve_request *request, const char *object,
                           const struct flo_wire_done *done, struct flo_buf *out);
/* logprobs.c: write the kept lists, or null, as the value of "logprobs", and
 * forget them. */
void flo_openai_add_logprobs(struct serve_request *request, struct flo_buf *out);

#endif
