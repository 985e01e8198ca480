/* The router: which engine takes which request. */
#ifndef FLOTILLA_SERVE_REQUESTS_H
#define FLOTILLA_SERVE_REQUESTS_H

#include "agent/serve/openai/openai.h"

int flo_router_open(struct flo_serve *serve, struct flo_err *err);
/* Take a request (and free it in the end). */
void flo_router_submit(struct serve_request *request);
/* An adapter changes: waiting requests that named it get the one that they
 * meant, so they go to the role's engine now. */
void flo_router_send_all(struct serve_place *place, enum flo_serve_role role,
                         const char *adapter);
/* The client went away. */
void flo_router_abandon(struct serve_request *request);
/* Look at the waiting requests when the loop is free: never from within the end
 * of another request. */
void flo_router_next_turn(struct flo_serve *serve);
/* The model is ready: its held requests go to it. */
void flo_router_release_held(struct serve_place *place);
/* Does the name mean this engine: its model ("tiny", "tiny@2.1.0"), its model
 * and an adapter after a colon, or an adapter alone?  *adapter is the adapter's
 * name; NULL: none is named. */
bool flo_router_names(const struct serve_engine *engine, const char *name,
                      const char **adapter);
/* The model that a request's name means; NULL: none. */
struct serve_place *flo_router_place(struct flo_serve *serve, const char *name);
void flo_router_close(struct flo_serve *serve);

#endif
