/* Names: which model a request means, and who may use it. */
#ifndef FLOTILLA_SERVE_NAMES_H
#define FLOTILLA_SERVE_NAMES_H

#include "agent/serve/engines/engines.h"

/* Does the name mean this model: its own name ("tiny", "tiny@2.1.0"), an alias,
 * one of both and an adapter after a colon, or an adapter alone?  *adapter is
 * the adapter's name in the engine; NULL: none is named. */
bool flo_names_match(const struct serve_place *place, const char *name, const char **adapter);
/* The model that the name means; empty: the first one that the token may use.
 * A name that no model has may be that of one without a route that loads: the
 * first such model has it until its engine is there.  NULL: none can have it,
 * or the token may not use the one that has it. */
struct serve_place *flo_names_place(struct flo_serve *serve, const char *name, int token);
/* The model's own name; empty: it has none yet. */
const char *flo_names_of(const struct serve_place *place);
/* May a client with this token (SERVE_TOKEN_ANY: the unbound one, or none where
 * none is needed) use the model? */
#define SERVE_TOKEN_ANY (-1)
bool flo_names_may_use(const struct serve_place *place, int token);
/* A model whose only release was taken back, by its name; NULL: there is none,
 * or the token may not use it. */
const struct serve_place *flo_names_gone(const struct flo_serve *serve, const char *name,
                                         int token);
/* Why a model is gone. */
void flo_names_gone_error(const struct serve_place *place, int code, struct flo_err *err);
/* The model answers no requests; its program reads it through a link. */
bool flo_names_is_silent(const struct serve_place *place);
/* The place has a route or an engine, and was not taken away. */
bool flo_names_is_used(const struct serve_place *place);
/* A model takes the place.  The numbers of one that was taken away go. */
void flo_names_take(struct serve_place *place);

#endif
