/* The first few of many in an order, without sorting the many.
 *
 * A page has 50 of 100,000 devices: about one comparison for each device finds
 * them, in whichever order the devices stand. */
#ifndef FLOTILLA_SERVER_SELECT_FIRST_H
#define FLOTILLA_SERVER_SELECT_FIRST_H

#include <stddef.h>

typedef int (*flo_first_compare)(const void *a, const void *b, void *context);

/* The first `most` of `items` (all, if there are fewer) to `out`, in order.
 * `items` stays as it is; `most` is not 0.  Result: how many. */
size_t flo_select_first(const void *const *items, size_t count, size_t most,
                        flo_first_compare compare, void *context, const void **out);

#endif
