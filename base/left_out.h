/* Left-out rooms: the error for a caller that needs a room, which is a part of
 * the program, that this build lacks (cmake/rooms.cmake). */
#ifndef FLOTILLA_BASE_LEFT_OUT_H
#define FLOTILLA_BASE_LEFT_OUT_H

#include <flotilla/base.h>

/* Fails with FLO_E_NOT_BUILT, which names the part, and the CMake option that
 * adds it. */
int flo_left_out(struct flo_err *err, const char *part, const char *option);

#endif
