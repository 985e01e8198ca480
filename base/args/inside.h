/* The name of a call, for reading and help. */
#ifndef FLOTILLA_BASE_ARGS_INSIDE_H
#define FLOTILLA_BASE_ARGS_INSIDE_H

#include "base/args/args.h"

#define FLO_CALL_BYTES 96

/* "flotilla device list"; `verb` may be NULL. */
void flo_args_call(const struct flo_args_program *program,
                   const struct flo_verb *verb, char *out);

#endif
