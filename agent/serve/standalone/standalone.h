/* Standalone: serves the local API without an agent: a model file, and no
 * controller. */
#ifndef FLOTILLA_SERVE_STANDALONE_H
#define FLOTILLA_SERVE_STANDALONE_H

#include "base/args/args.h"

/* `flotilla-agent serve`: loads the model and serves until SIGINT or SIGTERM.
 * An engine that dies is restarted with its adapters.  SIGHUP: checks the
 * adapter files again, and loads or drops changed ones. */
extern const struct flo_verb flo_verb_serve;

#endif
