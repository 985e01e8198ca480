/* Twice: does a name stand on two lines of a file?
 *
 * Names are compared by hashes under a random key, in bounded memory: when the
 * table is full, the upper half of the hashes is left to a later pass over the
 * file.  Lines with equal hashes are then compared by whoever can read them.
 * Pure but for its one block of memory. */
#ifndef FLOTILLA_BATCH_TWICE_H
#define FLOTILLA_BATCH_TWICE_H

#include <flotilla/base.h>

struct flo_twice_name {
    uint64_t hash;
    uint64_t number; /* number of the line, from 1 */
    uint64_t offset; /* where the line begins */
};
struct flo_twice {
    uint64_t key;
    uint64_t low, high; /* hashes of this pass, both included */
    struct flo_twice_name *names;
    size_t count, room;
};

/* Room for so many names (at least 4), 24 bytes each.  Begins the first pass.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_twice_open(struct flo_twice *twice, size_t room, uint64_t key,
                                struct flo_err *err);
/* A name of this pass; the order of lines is the order of calls. */
void flo_twice_add(struct flo_twice *twice, const char *name, uint64_t number, uint64_t offset);
/* The pass has seen all lines.  After it flo_twice_next() gives the pairs of
 * neighbours with one hash, by the number of the second line, each once;
 * `after` is the second number of the pair before, at first 0. */
void flo_twice_sort(struct flo_twice *twice);
bool flo_twice_next(const struct flo_twice *twice, uint64_t after, struct flo_twice_name *first,
                    struct flo_twice_name *second);
/* Begin the next pass.  false: none is needed. */
bool flo_twice_again(struct flo_twice *twice);
void flo_twice_deinit(struct flo_twice *twice);

#endif
