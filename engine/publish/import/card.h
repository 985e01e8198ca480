/* Card: what a folder says about itself: default sampling, and licence and
 * origin from README.md. */
#ifndef FLOTILLA_ENGINE_IMPORT_CARD_H
#define FLOTILLA_ENGINE_IMPORT_CARD_H

#include "engine/publish/import/plan.h"

/* Sets general.sampling.* by generation_config.json, and general.license and
 * general.base_model.* by the head of README.md.  A file that is absent or
 * unreadable sets nothing.  FLO_E_IO_READ, FLO_E_MEMORY. */
FLO_MUST_USE int flo_card_set(struct flo_import *import, struct flo_err *err);
/* Sets the keys of a README's head; `text` ends with a NUL. */
void flo_card_read(struct flo_keys *keys, const char *text);
/* Sets general.size_label by the numbers of the plan. */
void flo_card_size(struct flo_import *import);

#endif
