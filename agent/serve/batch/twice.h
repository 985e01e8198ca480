/* Twice: detects names used on two lines of a file.
 *
 * Names are compared by hashes under a random key, in bounded memory.  When the
 * table is full, the upper half of the hash range is left to a later pass over
 * the file.  The caller then compares the names of lines with equal hashes.
 * Pure except for one block of memory. */
#ifndef FLOTILLA_BATCH_TWICE_H
#define FLOTILLA_BATCH_TWICE_H

#include <flotilla/base.h>

struct flo_twice_name {
    uint64_t hash;
    uint64_t number; /* number of the line with the name, from 1 */
    uint64_t offset; /* offset of that line */
};
struct flo_twice {
    uint64_t key;
    uint64_t low, high; /* range of hashes in this pass, both included */
    struct flo_twice_name *names;
    size_t count, room;
};

/* Opens a table for this many names (at least 4), 24 bytes each, and begins the
 * first pass.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_twice_open(struct flo_twice *twice, size_t room, uint64_t key,
                                struct flo_err *err);
/* Adds a name in this pass; calls must be in the order of lines. */
void flo_twice_add(struct flo_twice *twice, const char *name, uint64_t number, uint64_t offset);
/* Ends a pass, when all lines were added.  Afterwards flo_twice_next() gives
 * pairs of lines with equal hashes, each once, ordered by the second line's
 * number.  `after` is the second line's number of the previous pair, initially
 * 0. */
void flo_twice_sort(struct flo_twice *twice);
bool flo_twice_next(const struct flo_twice *twice, uint64_t after, struct flo_twice_name *first,
                    struct flo_twice_name *second);
/* Begins the next pass.  false: all ranges are done. */
bool flo_twice_again(struct flo_twice *twice);
void flo_twice_deinit(struct flo_twice *twice);

#endif
