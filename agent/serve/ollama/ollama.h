/* Declares the functions that serve Ollama's API. */
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

/* Converts a body of Ollama's API to OpenAI's.  *is_load: the body only asks to
 * load the model, so the request generates one token.  Fails as
 * flo_params_read_tree() does, with Ollama's names of the fields. */
FLO_MUST_USE int flo_ollama_read(enum ollama_ask ask, const struct serve_body *body,
                                 struct serve_params *params, bool *is_load, struct flo_err *err);
/* Returns Ollama's name for a field of OpenAI's body. */
const char *flo_ollama_named(const char *param);
/* Converts a conversation of Ollama's API to OpenAI's messages, and gives ids
 * to its calls.  The text of an FLO_E_INFER_PARAM begins with the message's
 * number. */
FLO_MUST_USE int flo_ollama_messages(const json_t *given, json_t *out, struct flo_err *err);
/* Makes the content of an OpenAI message from images and a text after them.
 * Returns NULL when an image's type is unknown or memory is lacking. */
json_t *flo_ollama_content(json_t *text, const json_t *images);

/* ---- parts that its fronts share: shapes.c ---- */

/* Writes {"error":"..."} on a line.  It is fail() of all fronts of Ollama's
 * API. */
void flo_ollama_fail(struct serve_failure *failure, struct flo_buf *out);

#endif
