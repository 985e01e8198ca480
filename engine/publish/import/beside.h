/* Beside: reads each file of a folder that says how the model computes or is
 * used, by the rows of reading.def.  Files of the tokenizer are read elsewhere. */
#ifndef FLOTILLA_ENGINE_IMPORT_BESIDE_H
#define FLOTILLA_ENGINE_IMPORT_BESIDE_H

#include "engine/publish/import/plan.h"

/* Reads config.json and the other files of the folder into import->reading.  The family
 * is known.  FLO_E_MODEL_FOLDER: a key is refused.  The report has the keys of
 * all files then, too. */
FLO_MUST_USE int flo_beside_read(struct flo_import *import, struct flo_err *err);

#endif
