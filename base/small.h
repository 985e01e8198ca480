/* Small files of the kernel, such as those below /proc and /sys. */
#ifndef FLOTILLA_BASE_SMALL_H
#define FLOTILLA_BASE_SMALL_H

#include <stddef.h>

/* Reads the beginning of a file into `out`, which holds `out_bytes`, as a text.
 * Returns its bytes; 0 and "": it is empty, or cannot be read. */
size_t flo_small_read(const char *path, char *out, size_t out_bytes);

#endif
