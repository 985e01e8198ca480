/* The local API alone: one model, no controller. */
#ifndef FLOTILLA_SERVE_STANDALONE_H
#define FLOTILLA_SERVE_STANDALONE_H

#include "base/args/args.h"

/* `flotilla-agent serve`: load, serve until SIGINT or SIGTERM; an engine that
 * dies is started again, with the adapters it had.  SIGHUP: look at the
 * adapters' files again, load and drop changed ones. */
extern const struct flo_verb flo_verb_serve;

#endif
