/* Watch: notices within a second that a served file changes on disk.
 *
 * A file that is written to is no longer the model that was loaded: its engine ends, and
 * requests get io.read with the file's name, until the program starts again.  A file that
 * is replaced or removed stays as it was under the engine; a line of the log says so. */
#ifndef FLOTILLA_SERVE_WATCH_H
#define FLOTILLA_SERVE_WATCH_H

#include <event2/event.h>

#include "agent/serve/serve.h"

struct flo_file_watch;

/* Watches no file yet.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_file_watch_open(struct event_base *base, struct flo_serve *serve,
                                     struct flo_file_watch **out, struct flo_err *err);
/* Watches the file of a model from now on.  `path` is borrowed.  FLO_E_ABSENT, FLO_E_IO_OPEN,
 * FLO_E_IO_READ. */
FLO_MUST_USE int flo_file_watch_add(struct flo_file_watch *watch, unsigned model, const char *path,
                                    struct flo_err *err);
/* Fails with FLO_E_IO_READ if the model's file has changed. */
FLO_MUST_USE int flo_file_watch_check(struct flo_file_watch *watch, unsigned model,
                                      struct flo_err *err);
void flo_file_watch_close(struct flo_file_watch *watch);

#endif
