/* Lives: tells from the starts of a device's agent whether two machines use its
 * identity.  Pure.
 *
 * Each start of an agent is a life with an id of its own.  A restart, another
 * machine in a device's place and a state folder that was put back each begin a
 * new life, and the life before never speaks again.  Two machines with one
 * identity take the connection from each other, so lives come back. */
#ifndef FLOTILLA_SERVER_DEVICE_LIVES_H
#define FLOTILLA_SERVER_DEVICE_LIVES_H

#include <flotilla/base.h>

#define FLO_LIVES_MAX 4
/* A life that comes back once may be that of a machine whose memory was restored
 * with its disk.  So many returns show two machines. */
#define FLO_LIVES_RETURNS 2
/* time without a return after which one machine is left */
#define FLO_LIVES_TWICE_MS (UINT64_C(15) * 60 * 1000)

struct flo_lives {
    uint64_t ids[FLO_LIVES_MAX]; /* the one that spoke last is first; 0: none */
    uint64_t back_ms;            /* time of the last return */
    uint32_t returns;            /* each less than FLO_LIVES_TWICE_MS after the one before */
};
/* Notes that a life spoke.  Returns true if another life spoke since it did. */
bool flo_lives_heard(struct flo_lives *lives, uint64_t id, uint64_t now_ms);
/* Tells whether two machines use the identity. */
bool flo_lives_are_two(const struct flo_lives *lives, uint64_t now_ms);

#endif
