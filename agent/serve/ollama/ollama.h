/* Ollama's API: its fronts. */
#ifndef FLOTILLA_SERVE_OLLAMA_H
#define FLOTILLA_SERVE_OLLAMA_H

#include "agent/serve/front/front.h"

extern const struct serve_front flo_ollama_chat;       /* chat.c */
extern const struct serve_front flo_ollama_generate;   /* chat.c */
extern const struct serve_front flo_ollama_embed;      /* vectors.c */
extern const struct serve_front flo_ollama_embeddings; /* vectors.c */
extern const struct serve_front flo_ollama_refused;    /* refused.c */

/* ---- bodies: body.c ---- */

enum ollama_ask { OLLAMA_CHAT, OLLAMA_GENERATE, OLLAMA_EMBED, OLLAMA_PROMPT };

/* Read a body of Ollama's as OpenAI's: the errors of flo_params_read_tree(),
 * with Ollama's names of fields from flo_ollama_named().  *is_load: it asks for
 * no answer, and the model is to be loaded; the request has one token then. */
FLO_MUST_USE int flo_ollama_read(enum ollama_ask ask, const struct serve_body *body,
                                 struct serve_params *params, bool *is_load, struct flo_err *err);
/* Ollama's name of a field of OpenAI's body. */
const char *flo_ollama_named(const char *param);
/* A conversation of Ollama's into OpenAI's; ids of calls are made up.  The
 * sentence of FLO_E_INFER_PARAM begins with the message's number. */
FLO_MUST_USE int flo_ollama_messages(const json_t *given, json_t *out, struct flo_err *err);
/* A text and its images, which stand before it, as OpenAI's content.  NULL: an
 * image is none that is known, or memory is gone. */
json_t *flo_ollama_content(json_t *text, const json_t *images);

/* ---- parts that its fronts share: shapes.c ---- */

/* {"error":"..."} on a line: every front's fail(). */
void flo_ollama_fail(struct serve_failure *failure, struct flo_buf *out);

#endif
