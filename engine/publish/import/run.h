/* Run: makes a GGUF file from a folder. */
#ifndef FLOTILLA_ENGINE_IMPORT_RUN_H
#define FLOTILLA_ENGINE_IMPORT_RUN_H

#include "engine/publish/import/produce.h"
#include "engine/publish/import/resume.h"

struct flo_import_options {
    const char *folder;
    const struct flo_mix *mix; /* NULL: the type that the folder has */
    unsigned threads;
};

/* Reads config.json of import->folder.path.  FLO_E_MODEL_FOLDER, FLO_E_ABSENT,
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_import_config(struct flo_import *import, struct flo_err *err);
/* Reads a folder up to the plan of its file; `import` is zero, and needs
 * flo_import_close() even after an error.  Errors of each part apply. */
FLO_MUST_USE int flo_import_open(struct flo_import *import,
                                 const struct flo_import_options *options,
                                 struct flo_produce *produce, struct flo_err *err);
/* Writes the file to a descriptor that is empty, or has what an earlier call
 * left.  resume->step_bytes is read; the other fields say where the call went
 * on. */
FLO_MUST_USE int flo_import_write(struct flo_import *import, struct flo_produce *produce,
                                  struct flo_resume *resume, int fd, struct flo_err *err);
void flo_import_close(struct flo_import *import);

#endif
