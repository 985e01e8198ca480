/* Unnamed: a file for a copy of a model that a command compares. */
#ifndef FLOTILLA_ENGINE_UNNAMED_H
#define FLOTILLA_ENGINE_UNNAMED_H

#include <flotilla/base.h>

/* Opens an unnamed file in the folder for temporary files.  A file system that
 * knows no unnamed files gets one whose name is removed at once.
 * FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_unnamed_open(int *fd, struct flo_err *err);

#endif
