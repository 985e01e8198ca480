/* Rooms that a build leaves out (cmake/rooms.cmake): the error of whoever needs one. */
#ifndef FLOTILLA_BASE_LEFT_OUT_H
#define FLOTILLA_BASE_LEFT_OUT_H

#include <flotilla/base.h>

/* FLO_E_NOT_BUILT: names the part, and the option of CMake that brings it. */
int flo_left_out(struct flo_err *err, const char *part, const char *option);

#endif
