/* Join: makes one GGUF file of a split one. */
#ifndef FLOTILLA_ENGINE_JOIN_H
#define FLOTILLA_ENGINE_JOIN_H

#include "base/args/args.h"

/* Copies the model of the command's word to the file `to`, with the keys of --accept-unknown
 * in its list of accepted ones.
 *
 * FLO_E_GGUF_HPARAM        a key is not read, and is not accepted
 * FLO_E_GGUF_..., FLO_E_IO_..., FLO_E_USAGE */
FLO_MUST_USE int flo_join(const struct flo_args *args, const char *to, struct flo_err *err);

#endif
