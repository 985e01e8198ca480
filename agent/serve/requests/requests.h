/* Router: chooses the engine for each request. */
#ifndef FLOTILLA_SERVE_REQUESTS_H
#define FLOTILLA_SERVE_REQUESTS_H

#include "agent/serve/front/front.h"

struct fallback_router;
struct guard_router;
/* Functions of the router that the guards call. */
extern const struct guard_router flo_router_of_guards;
/* Functions of the router that routes call, to pass requests to other
 * targets. */
extern const struct fallback_router flo_router_of_fallbacks;

int flo_router_open(struct flo_serve *serve, struct flo_err *err);
/* Takes a request, and frees it when it has ended. */
void flo_router_submit(struct serve_request *request);
/* Sends the waiting requests that name this adapter to the engine of the role,
 * before the adapter changes.  So they get the adapter that they meant. */
void flo_router_send_all(struct serve_place *place, enum flo_serve_role role, const char *adapter);
/* Ends a request whose client has disconnected. */
void flo_router_abandon(struct serve_request *request);
/* Lets the loop check the waiting requests in its next turn, so that no request
 * begins while another one ends. */
void flo_router_next_turn(struct flo_serve *serve);
/* Sends the requests that waited for the model to its engine, because the model
 * is live now. */
void flo_router_release_held(struct serve_place *place);
/* Asks for the load of the model for its waiting requests, because its route is
 * on demand now. */
void flo_router_want_again(struct serve_place *place);
/* Continues the requests that may continue, because flo_serve_limits has
 * changed. */
void flo_router_limits_changed(struct flo_serve *serve);
/* Returns how many batch requests wait only until memory pressure ends. */
uint32_t flo_router_held_batch(const struct serve_place *place);
/* Ends all requests that wait for the model with this error. */
void flo_router_fail_held(struct serve_place *place, const struct flo_err *err);
/* Ends the waiting requests of a removed model with this error.  Running
 * requests may continue until flo_router_fail_leaving(). */
void flo_router_remove(struct serve_place *place, const struct flo_err *err);
void flo_router_fail_leaving(struct serve_place *place, const struct flo_err *err);
void flo_router_close(struct flo_serve *serve);

#endif
