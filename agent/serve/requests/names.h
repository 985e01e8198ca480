/* Names: finds the model that a request means, and checks who may use it. */
#ifndef FLOTILLA_SERVE_NAMES_H
#define FLOTILLA_SERVE_NAMES_H

#include "agent/serve/engines/engines.h"

/* Does the name mean this model?  It may be the model's own name ("tiny",
 * "tiny@2.1.0"), an alias, one of these with ":" and an adapter, or an adapter
 * alone.  *adapter is the adapter's name in the engine; NULL: none was
 * named. */
bool flo_names_match(const struct serve_place *place, const char *name, const char **adapter);
/* Returns the model that the name means; empty name: the first one that the
 * token may use.  An unknown name may turn out to belong to a model without a
 * route that is still loading, so it is assigned to the first such model for
 * now.  NULL: no model can have it, or the token may not use that model. */
struct serve_place *flo_names_place(struct flo_serve *serve, const char *name, int token);
/* Returns the model's own name; empty: none yet. */
const char *flo_names_of(const struct serve_place *place);
/* May a client with this token use the model?  SERVE_TOKEN_ANY: the unbound
 * token, or no token if none is needed. */
#define SERVE_TOKEN_ANY (-1)
bool flo_names_may_use(const struct serve_place *place, int token);
/* Finds by name a model whose only release was rolled back; NULL: none, or the
 * token may not use it. */
const struct serve_place *flo_names_gone(const struct flo_serve *serve, const char *name,
                                         int token);
/* Sets an error with the reason why a model is gone. */
void flo_names_gone_error(const struct serve_place *place, int code, struct flo_err *err);
/* Does the model answer no requests, because its program only reads the files
 * through a link? */
bool flo_names_is_silent(const struct serve_place *place);
/* Does the place have a route or an engine, and was not removed? */
bool flo_names_is_used(const struct serve_place *place);
/* Assigns the place to a model; counters of a removed one are reset. */
void flo_names_take(struct serve_place *place);

#endif
