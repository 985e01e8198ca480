/* Controllers: finds out who leads the fleet and who stands by. */
#ifndef FLOTILLA_SERVER_REST_CONTROLLERS_H
#define FLOTILLA_SERVER_REST_CONTROLLERS_H

#include "server-stub/rest/rest.h"
#include "server-stub/store/lead.h"

/* Gets the view of all controllers from memory, without a database request.  A
 * controller with a local file is the only one, and leads.  `out` is too large
 * for a small stack. */
void flo_controllers_view(const struct flo_rest *rest, struct flo_lead_view *out);
enum flo_lease_place flo_controllers_place(const struct flo_lead_view *view,
                                           const struct flo_lead_member *one, uint64_t now_ms);
#endif
