/* Names: finds the model that a request names, and checks who may use it. */
#ifndef FLOTILLA_SERVE_NAMES_H
#define FLOTILLA_SERVE_NAMES_H

#include "agent/serve/engines/engines.h"

/* Tells whether the name means this model.  It may be the model's own name
 * ("tiny", "tiny@2.1.0"), an alias, one of these with ":" and an adapter, or an
 * adapter alone.  *adapter is the name of the adapter in the engine; NULL: none
 * was named. */
bool flo_names_match(const struct serve_place *place, const char *name, const char **adapter);
/* Returns the model that the name means.  An empty name means the first model
 * that the token may use.  A model that is loading and has no route has no
 * known name, so an unknown name means the first such model.  Returns NULL when
 * no model can have the name, or the token may not use that model. */
struct serve_place *flo_names_place(struct flo_serve *serve, const char *name, int token);
/* Returns the model's own name; empty: it has none yet. */
const char *flo_names_of(const struct serve_place *place);
/* Value of `token` for clients that are not bound to an app: their token is the
 * server's own one, or they need none. */
#define SERVE_TOKEN_ANY (-1)
/* Tells whether a client with this token may use the model. */
bool flo_names_may_use(const struct serve_place *place, int token);
/* Finds by its name a model whose only release was rolled back; NULL: there is
 * none, or the token may not use it. */
const struct serve_place *flo_names_gone(const struct flo_serve *serve, const char *name,
                                         int token);
/* Fills in an error that says why the model is gone. */
void flo_names_gone_error(const struct serve_place *place, int code, struct flo_err *err);
/* Fails with FLO_E_INFER_MODEL: no model that the client may use has this name
 * (match.c). */
int flo_names_unknown(const char *name, struct flo_err *err);
/* Tells whether the model answers no requests, because its program only reads
 * the files through a link. */
bool flo_names_is_silent(const struct serve_place *place);
/* Tells whether a model uses this entry of serve->places: the entry has a route
 * or an engine, and its model was not removed. */
bool flo_names_is_used(const struct serve_place *place);
/* Gives this entry of serve->places to a model.  The counters of a removed
 * model are cleared. */
void flo_names_take(struct serve_place *place);

#endif
