/* Shape of a request: the allowed members of its body and parameters of its
 * query, and what each may hold.
 * Pure.
 *
 * A shape is text, as rest/routes.def holds it: words apart by one blank.
 *   word        a member; its row of types.def says what it may hold
 *   word:type   a member of the type in that row
 *   word!       a member that must be given (after the type)
 *   word{...}   an object with the members inside
 *   word[...]   an array of objects with the members inside
 *   word[:type] an array of such values
 *   word{:type} an object whose members are names, with such values
 *   word{:type~} the same; a value may be null
 *   word{*}     an object whose members are free
 *   @rollout    the fields of core/spec/spec.def, whose reader checks them
 *   word{@edit} an object of those fields that an edit may change
 *   @order      those of proto/orders.def that people ask for
 *   @envelope   a DSSE envelope, whose reader takes one text alone
 *   word{@policy}  an object of proto/policy.def's fields; of gates.def with
 *               @gates, whose own reader checks it
 * Shapes of answers (rest/objects.def) also have `word?`, which may be absent,
 * `word~`, which may be null, and @names of each other.
 * Where an endpoint does several things, each has a shape of its own, apart by
 * `|` and told by its first member: "op=freeze everywhere|op=rollback release".
 * An unknown name is refused: a typing error must never widen a scope. */
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
