/* Programs of ours that a process talks with. */
#ifndef FLOTILLA_BASE_TALK_H
#define FLOTILLA_BASE_TALK_H

#include <flotilla/base.h>

/* Starts the program argv[0] of the same folder, with an end of a
 * pair of stream sockets as descriptor 3.  *fd gets its peer before the
 * program starts, and the caller closes it also after an error.  `keep` is as
 * for flo_process_spawn_bare(); NULL: the program gets the whole environment.
 * FLO_E_ABSENT  the program is not installed
 * FLO_E_PROCESS */
FLO_MUST_USE int flo_process_talk(const char *argv[], const char *const keep[], int *fd, pid_t *pid,
                                  struct flo_err *err);

#endif
