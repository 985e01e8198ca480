/* Standalone: serves the local API for a model file, without an agent or a
 * controller. */
#ifndef FLOTILLA_SERVE_STANDALONE_H
#define FLOTILLA_SERVE_STANDALONE_H

#include "base/args/args.h"

/* Command `flotilla-agent serve`: loads the model and serves until SIGINT or
 * SIGTERM.  An engine that dies is started again with its adapters.  After
 * SIGHUP the adapter files are checked again, and those that changed are loaded
 * or dropped. */
extern const struct flo_verb flo_verb_serve;

#endif
