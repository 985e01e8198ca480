/* A count with its noun: "1 device has", "2 devices have".  tools/plurals.py
 * finds formats that do not use it. */
#ifndef FLOTILLA_PLURAL_H
#define FLOTILLA_PLURAL_H

#include <stdint.h>

/* Returns `one` for a count of 1, else `more`. */
static inline const char *flo_plural(uint64_t count, const char *one, const char *more)
{
    return count == 1 ? one : more;
}

/* Returns the end of a noun after a count, "" or "s", for formats such as
 * "device%s". */
static inline const char *flo_s(uint64_t count)
{
    return flo_plural(count, "", "s");
}

#endif
