/* Router: chooses the engine for each request. */
#ifndef FLOTILLA_SERVE_REQUESTS_H
#define FLOTILLA_SERVE_REQUESTS_H

#include "agent/serve/front/front.h"

struct fallback_router;
struct guard_router;
/* Callbacks of the router for the guards. */
extern const struct guard_router flo_router_of_guards;
/* Callbacks of the router for the routes. */
extern const struct fallback_router flo_router_of_fallbacks;

int flo_router_open(struct flo_serve *serve, struct flo_err *err);
/* Takes a request, and frees it at its end. */
void flo_router_submit(struct serve_request *request);
/* Called when an adapter changes: waiting requests that name it are sent to the
 * role's engine now, and so keep the adapter that they meant. */
void flo_router_send_all(struct serve_place *place, enum flo_serve_role role, const char *adapter);
/* Ends a submitted request whose client disconnected. */
void flo_router_abandon(struct serve_request *request);
/* Schedules a check of the waiting requests from the loop; so none runs while
 * another request is ending. */
void flo_router_next_turn(struct flo_serve *serve);
/* Sends the held requests of a model that became ready. */
void flo_router_release_held(struct serve_place *place);
/* Called when the model's route becomes on demand: waiting requests ask for the
 * load. */
void flo_router_want_again(struct serve_place *place);
/* Called when flo_serve_limits changed: requests that may continue do so. */
void flo_router_limits_changed(struct flo_serve *serve);
/* Returns how many batch requests wait only for the end of memory pressure. */
uint32_t flo_router_held_batch(const struct serve_place *place);
/* Fails all requests that wait for the model with this error. */
void flo_router_fail_held(struct serve_place *place, const struct flo_err *err);
/* Called when the model is removed: waiting requests get the error; running
 * ones may continue until flo_router_fail_leaving(). */
void flo_router_remove(struct serve_place *place, const struct flo_err *err);
void flo_router_fail_leaving(struct serve_place *place, const struct flo_err *err);
void flo_router_close(struct flo_serve *serve);

#endif
