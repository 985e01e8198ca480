/* First: finds the first few of many items in some order, without sorting all.
 *
 * A page has 50 of 100,000 devices: about one comparison per device finds them,
 * whatever the order of the input. */
#ifndef FLOTILLA_SERVER_SELECT_FIRST_H
#define FLOTILLA_SERVER_SELECT_FIRST_H

#include <stddef.h>

typedef int (*flo_first_compare)(const void *a, const void *b, void *context);

/* Writes the first `most` of `items` (all, if there are fewer) to `out`, in
 * order.  `items` is unchanged; `most` is not 0.  Returns how many were
 * written. */
size_t flo_select_first(const void *const *items, size_t count, size_t most,
                        flo_first_compare compare, void *context, const void **out);

#endif
