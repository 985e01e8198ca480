/* The router: which engine takes which request. */
#ifndef FLOTILLA_SERVE_REQUESTS_H
#define FLOTILLA_SERVE_REQUESTS_H

#include "agent/serve/front/front.h"

struct guard_router;
/* The guards' way back to it. */
extern const struct guard_router flo_router_of_guards;

int flo_router_open(struct flo_serve *serve, struct flo_err *err);
/* Take a request (and free it in the end). */
void flo_router_submit(struct serve_request *request);
/* An adapter changes: waiting requests that named it get the one that they
 * meant, so they go to the role's engine now. */
void flo_router_send_all(struct serve_place *place, enum flo_serve_role role, const char *adapter);
/* The client of what was submitted went away. */
void flo_router_abandon(struct serve_request *request);
/* Look at the waiting requests when the loop is free: never from within the end
 * of another request. */
void flo_router_next_turn(struct flo_serve *serve);
/* The model is ready: its held requests go to it. */
void flo_router_release_held(struct serve_place *place);
/* The model is on demand from now on: those who wait for it want it. */
void flo_router_want_again(struct serve_place *place);
/* flo_serve_limits say something else: who may go on, does. */
void flo_router_limits_changed(struct flo_serve *serve);
/* Batch requests that wait for the end of a strain and for nothing else. */
uint32_t flo_router_held_batch(const struct serve_place *place);
/* All who wait for the model get the error. */
void flo_router_fail_held(struct serve_place *place, const struct flo_err *err);
/* The model is removed: those who wait get the error, those under way may go
 * on until flo_router_fail_leaving(). */
void flo_router_remove(struct serve_place *place, const struct flo_err *err);
void flo_router_fail_leaving(struct serve_place *place, const struct flo_err *err);
void flo_router_close(struct flo_serve *serve);

#endif
