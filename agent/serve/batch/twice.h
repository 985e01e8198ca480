/* Twice: finds names that are used on two lines of a file.
 *
 * Names are compared by hashes under a random key, in limited memory.  When the
 * table is full, the upper half of the hash range is left to a later pass over
 * the file.  The caller then compares the names of lines with equal hashes.
 * Pure, except for one block of memory. */
#ifndef FLOTILLA_BATCH_TWICE_H
#define FLOTILLA_BATCH_TWICE_H

#include <flotilla/base.h>

struct flo_twice_name {
    uint64_t hash;
    uint64_t number; /* number of the line that has the name, from 1 */
    uint64_t offset; /* offset in the file of that line */
};
struct flo_twice {
    uint64_t key;
    uint64_t low, high; /* lowest and highest hash that this pass compares */
    struct flo_twice_name *names;
    size_t count, room;
};

/* Makes a table for `room` names (at least 4) of 24 bytes each, and begins the
 * first pass.
 * FLO_E_MEMORY  no memory */
FLO_MUST_USE int flo_twice_open(struct flo_twice *twice, size_t room, uint64_t key,
                                struct flo_err *err);
/* Adds the name of a line.  Lines must come in order. */
void flo_twice_add(struct flo_twice *twice, const char *name, uint64_t number, uint64_t offset);
/* Ends a pass after the last line, so that flo_twice_next() can be called. */
void flo_twice_sort(struct flo_twice *twice);
/* Gives the next pair of lines whose names have equal hashes.  Pairs come in
 * the order of their second lines, and each second line comes once.  `after` is
 * the number of the second line in the previous pair; 0: for the first pair.
 * Returns false when there are no more pairs. */
bool flo_twice_next(const struct flo_twice *twice, uint64_t after, struct flo_twice_name *first,
                    struct flo_twice_name *second);
/* Begins the next pass.  Returns false when all ranges of hashes are done. */
bool flo_twice_again(struct flo_twice *twice);
void flo_twice_deinit(struct flo_twice *twice);

#endif
