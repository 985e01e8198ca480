/* Shape of a request: the allowed members of its body and parameters of its
 * query, and the type of each.  Pure.
 *
 * A shape is text in rest/routes.def: words separated by one blank.
 *   word        a member; its row of types.def has its type
 *   word:type   a member of the type in that row
 *   word!       a member that must be given (after the type)
 *   word{...}   an object with the members inside
 *   word[...]   an array of objects with the members inside
 *   word[:type] an array of values of that type
 *   word{:type} an object whose members are names, with values of that type
 *   word{:type~} an object like word{:type}, whose values may be null
 *   word{*}     an object whose members are free
 *   @rollout    the fields of core/spec/spec.def, whose reader checks them
 *   word{@edit} an object of those fields that an edit may change
 *   @order      the orders of proto/orders.def that people may request
 *   @envelope   a DSSE envelope, whose reader takes one text alone
 *   word{@policy}  an object of proto/policy.def's fields; of gates.def with
 *               @gates, whose own reader checks it
 *
 * Shapes of answers (rest/objects.def) also have `word?`, which may be absent,
 * `word~`, which may be null, and @names of each other.
 *
 * Where an endpoint does several things, each has its own shape.  The shapes
 * are separated by `|`, and the first member of a body chooses one of them:
 * "op=freeze everywhere|op=rollback release".  An unknown name is refused,
 * because a typing error must never widen a scope. */
#ifndef FLOTILLA_SERVER_REQUEST_H
#define FLOTILLA_SERVER_REQUEST_H

#include <flotilla/base.h>

#include "base/host/json.h"

/* Checks the body against the shape; NULL counts as an empty object.
 * FLO_E_REST_UNKNOWN names the first unknown member, its place, and the known
 * ones. FLO_E_REST_SCHEMA names a value of the wrong type, or a missing
 * member. */
FLO_MUST_USE int flo_request_check(const char *shape, const json_t *body, struct flo_err *err);
/* Checks a query parameter against the shape, which has words only. */
FLO_MUST_USE int flo_request_check_query(const char *shape, const char *name, const char *value,
                                         struct flo_err *err);
/* Adds the place to the error as a JSON pointer: "phases[1].name" is
 * "/phases/1/name".  Returns the error's code. */
int flo_request_at(struct flo_err *err, const char *path);
/* Fails with FLO_E_REST_UNKNOWN: the `kind` ("member", "gate") `name` below the
 * path `where` is not in the list. Suggests the nearest word. */
int flo_request_unknown(const char *kind, const char *where, const char *name,
                        const char *const *words, size_t count, struct flo_err *err);

#endif
