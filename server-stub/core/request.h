/* Shape of a request: the allowed members of its body and parameters of its
 * query.
 * Pure.
 *
 * A shape is text, as rest/routes.def holds it: words apart by one blank.
 *   word        a member; the handler checks its value
 *   word{...}   an object with the members inside
 *   word[...]   an array of objects with the members inside
 *   word{*}     an object whose members are free
 *   word{@policy}  an object of proto/policy.def's fields
 *   @rollout    the fields of core/spec/spec.def, whose reader checks them
 * Where an endpoint does several things, each has a shape of its own, apart by
 * `|` and told by its first member: "op=freeze everywhere|op=rollback release".
 * An unknown name is refused: a typing error must never widen a scope. */
#ifndef FLOTILLA_SERVER_REQUEST_H
#define FLOTILLA_SERVER_REQUEST_H

#include <flotilla/base.h>

#include "base/host/json.h"

/* The body against the shape; NULL has no members.  FLO_E_REST_UNKNOWN names
 * the first unknown member, where it stands, and those that are known. */
FLO_MUST_USE int flo_request_check(const char *shape, const json_t *body,
                                   struct flo_err *err);
/* A query parameter against the shape, which has words alone. */
FLO_MUST_USE int flo_request_check_query(const char *shape, const char *name,
                                         struct flo_err *err);
/* FLO_E_REST_UNKNOWN: `kind` ("member", "gate") `name` below the path `where`
 * is none of the words.  The nearest one is offered as the fix. */
int flo_request_unknown(const char *kind, const char *where, const char *name,
                        const char *const *words, size_t count,
                        struct flo_err *err);

#endif
