/* Unread: keys of a family that the engine does not look at.
 *
 * A key that nobody reads may be one that changes answers.  The commands that make or
 * judge a model refuse it by its name; a device serves what was released. */
#ifndef FLOTILLA_ENGINE_UNREAD_H
#define FLOTILLA_ENGINE_UNREAD_H

#include "base/gguf/gguf.h"

/* A list of the keys that a person passed over. */
#define FLO_ACCEPTED_KEY "flotilla.import.accepted"

/* Refuses the first key `ARCHITECTURE.*`, or of a tokenizer or adapter, that nothing reads
 * and that no row of unread.def passes.  Keys that FLO_ACCEPTED_KEY names are
 * passed over.  The keys of a family that cannot be read are left to those who say why.
 *
 * FLO_E_GGUF_HPARAM: such a key. */
FLO_MUST_USE int flo_unread_check(const struct flo_gguf *gguf, struct flo_err *err);

#endif
