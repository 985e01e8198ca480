/* Adapter: the matrices of a trainer's adapter (PEFT) in the form that the
 * base's file has, by the tables of its family.  Rows move, are cut, joined and
 * scaled as those of the base's weights. */
#ifndef FLOTILLA_ENGINE_IMPORT_ADAPTER_H
#define FLOTILLA_ENGINE_IMPORT_ADAPTER_H

#include "engine/publish/import/plan.h"

/* A matrix of the base that the adapter changes. */
struct flo_import_pair {
    struct flo_folder_tensor weight; /* name and shape; there is no data */
    const struct flo_safetensor *a;  /* [rank][columns] */
    const struct flo_safetensor *b;  /* [rows][rank] */
    uint64_t rank;
    char name[256];
};

/* Zero-initialise. */
struct flo_import_adapter {
    struct flo_import import;
    struct flo_import_pair *pairs;
    size_t pair_count;
    struct flo_gguf_tensor *heads; /* heads of the halves in the new file */
    size_t head_count;
    float *values; /* values of the half that was given last */
    void *encoded;
};

/* Plans the tensors of the new file.  `folder` is that of the base, of which
 * only config.json is read; `arch` is general.architecture of the base's file.
 * The adapter's file is in memory until flo_import_adapter_close(), which is
 * needed also after an error.
 *
 * FLO_E_MODEL_FOLDER  a tensor is no half of a pair, or the pair does not fit
 *                     the folder; the folder is not that of the base
 * FLO_E_NOT_BUILT     a half is not F32, F16 or BF16
 * FLO_E_MODEL_ARCH, FLO_E_ABSENT, FLO_E_MEMORY */
FLO_MUST_USE int flo_import_adapter_open(struct flo_import_adapter *adapter, const char *folder,
                                         const struct flo_safetensors *file, const char *arch,
                                         struct flo_err *err);
/* Computes the bytes of half `index`; they are valid until the next call. */
FLO_MUST_USE int flo_import_adapter_give(struct flo_import_adapter *adapter, size_t index,
                                         const void **data, struct flo_err *err);
void flo_import_adapter_close(struct flo_import_adapter *adapter);

#endif
