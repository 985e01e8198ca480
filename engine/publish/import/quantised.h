/* Quantised: folders whose weights a trainer's tool has quantised already.
 *
 * The method is read from quantization_config of config.json, or from the
 * tool's own file.  Each tensor of codes then stands for the matrix of its
 * values, and its scales, zeros and groups are no tensors of their own. */
#ifndef FLOTILLA_ENGINE_IMPORT_QUANTISED_H
#define FLOTILLA_ENGINE_IMPORT_QUANTISED_H

#include "engine/publish/import/config.h"
#include "engine/publish/import/folder.h"

/* Zero-initialise. */
struct flo_quantised {
    const char *method; /* as it is shown; NULL: nothing to unpack */
    const char *key;    /* as config.json has it */
    const struct flo_tree_node *settings;
    struct flo_tree tree; /* JSON of the tool's own file */
    char *text;
    bool has_zeros_less_1; /* GPTQ's first format */
    uint32_t block[2];     /* rows and columns that share a scale; 0: not said */
    unsigned bits;         /* bits of the largest codes */
    size_t count;          /* matrices that were quantised */
};

/* Reads the method.  A folder of floats leaves *out zero.
 * FLO_E_MODEL_FOLDER: a method, or a format of it, that is not read. */
FLO_MUST_USE int flo_quantised_read(struct flo_quantised *out, const struct flo_folder *folder,
                                    const struct flo_config *config, struct flo_err *err);
/* Makes each tensor of codes stand for its values, of type `type`.
 * FLO_E_MODEL_FOLDER: parts that do not fit.  FLO_E_IO_READ, FLO_E_MEMORY. */
FLO_MUST_USE int flo_quantised_unpack(struct flo_quantised *quantised, struct flo_folder *folder,
                                      uint32_t type, struct flo_err *err);
void flo_quantised_deinit(struct flo_quantised *quantised);

/* ---- plans of matrices (unpack.c) ---- */

struct flo_import_packed;
struct flo_unpack {
    struct flo_quantised *quantised;
    struct flo_folder *folder;
    struct flo_folder_tensor *codes;
    size_t base_bytes; /* length of the name before ".qweight" or ".weight" */
    struct flo_import_packed *packed;
};
typedef int flo_unpack_plan(struct flo_unpack *unpack, struct flo_err *err);
flo_unpack_plan flo_unpack_gptq, flo_unpack_awq, flo_unpack_bytes, flo_unpack_words,
    flo_unpack_halves;

#endif
