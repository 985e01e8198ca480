/* Packed: finds the file of packed weights, and decides whether the engine uses
 * it. */
#include "engine/model/file/packed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "engine/memory/mapped.h"

#define PATH_BYTES_MAX 4096

/* Opens the packed file next to the model.  *fd stays -1 if there is none.  A
 * file older than the model is refused with FLO_E_PACKED, because only its name
 * links it to the model. */
static int open_sidecar(const char *path, int model_fd, int *fd, struct flo_err *err)
{
    char beside[PATH_BYTES_MAX];
    int rv;

    if (snprintf(beside, sizeof(beside), "%s%s", path, FLO_SIDECAR_SUFFIX) >= (int)sizeof(beside)) {
        return 0;
    }
    rv = flo_file_open(beside, fd, err);
    if (rv == FLO_E_ABSENT) {
        return 0;
    }
    if (rv == 0 && flo_fd_is_older(*fd, model_fd)) {
        rv = flo_fail(err, FLO_E_PACKED, "the packed weights are older than the model");
    }
    return rv;
}

static int attach(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                  int model_fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int opened = -1;
    int fd = options->packed_fd, rv = 0;

    if (fd <= 0 && options->packed != NULL) {
        rv = flo_file_open(options->packed, &opened, err);
    } else if (fd <= 0 && path != NULL) {
        rv = open_sidecar(path, model_fd, &opened, err);
    }
    fd = fd <= 0 ? opened : fd;
    FLO_TRY(rv);
    if (fd < 0 || e->kernel->quantise_packed == NULL) {
        return rv;
    }
    FLO_TRY(flo_sidecar_new(e->gguf, model_fd, &e->sidecar, err));
    FLO_TRY(flo_weights_can_pack(&e->weights, e->kernel, e->sidecar, err));
    FLO_TRY(flo_sidecar_map(e->sidecar, fd, err));
    e->model_fd = fcntl(model_fd, F_DUPFD_CLOEXEC, 3);
    if (e->model_fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "the model once more");
    }
    flo_weights_pack(&e->weights, e->kernel, e->sidecar);
    return 0;
}

int flo_packed_attach(struct flo_engine *e, const struct flo_engine_options *options,
                      const char *path, int model_fd, struct flo_err *err)
{
    struct flo_err why = {0};
    bool is_named = options->packed != NULL || options->packed_fd > 0;
    int rv = 0;

    if (options->packed == NULL || options->packed[0] != '\0') {
        rv = attach(e, options, path, model_fd, &why);
    }
    if (!e->weights.are_packed) {
        flo_packed_detach(e);
    }
    if (rv == 0 || rv == FLO_E_NOT_BUILT) {
        return 0; /* not an error: this kernel or model uses no strips */
    }
    if (is_named) {
        if (err != NULL) {
            *err = why;
        }
        return options->packed != NULL ? flo_wrap(err, rv, "%s", options->packed) : rv;
    }
    snprintf(e->info.packed_why, sizeof(e->info.packed_why), "%.127s", why.what);
    return 0;
}

void flo_packed_detach(struct flo_engine *e)
{
    flo_sidecar_free(e->sidecar);
    e->sidecar = NULL;
    flo_fd_cleanup(&e->model_fd);
}

/* ---- memory ---- */

uint64_t flo_packed_weights_bytes(const struct flo_engine *e)
{
    const struct flo_matrix *m = &e->weights.embedding;
    uint64_t bytes = flo_gguf_file_bytes(e->gguf);

    if (e->sidecar == NULL) {
        return bytes + e->weights.vector_bytes;
    }
    /* Only some rows of the embedding are read, unless it is also the output
     * matrix. */
    if (e->weights.output.data != m->data) {
        bytes -= (uint64_t)m->rows * m->row_bytes;
    }
    return bytes - flo_sidecar_bytes_replaced(e->sidecar) + flo_sidecar_bytes(e->sidecar);
}

int flo_packed_embedding(const struct flo_engine *e, const struct flo_matrix *m, int32_t token,
                         uint8_t *room, const uint8_t **row, struct flo_err *err)
{
    uint64_t at = (uint64_t)token * m->row_bytes;

    *row = m->data + at;
    if (e->sidecar == NULL) {
        return flo_mapped_fetch(*row, m->row_bytes, err);
    }
    if (flo_fd_pread_all(e->model_fd, room, m->row_bytes, m->tensor->offset + at, NULL) == 0) {
        *row = room;
    } else {
        FLO_TRY(flo_mapped_fetch(*row, m->row_bytes, err));
        memcpy(room, *row, m->row_bytes);
        *row = room;
        /* frees the pages around the row, as no other part of the model is
         * needed */
        if (e->weights.output.data != m->data) {
            flo_gguf_drop_pages(e->gguf);
        }
    }
    return 0;
}

/* ---- making ---- */

int flo_model_check(const struct flo_gguf *gguf, bool for_this_cpu,
                    const struct flo_sidecar *sidecar, struct flo_err *err)
{
    const struct flo_kernel *kernel = &flo_kernel_ref;
    struct flo_hparams hparams;
    FLO_CLEANUP(flo_weights_deinit) struct flo_weights weights = {0};
    const struct flo_arch *arch;

    FLO_TRY(flo_hparams_read(gguf, &arch, &hparams, err));
    if (for_this_cpu) {
        FLO_TRY(flo_kernel_choose(flo_kernel_spec(NULL), false, &kernel, err));
    }
    FLO_TRY(flo_weights_bind(gguf, arch, &hparams, kernel, &weights, err));
    return sidecar == NULL
               ? 0
               : flo_weights_can_pack(&weights, for_this_cpu ? kernel : NULL, sidecar, err);
}

int flo_packing_open(int model_fd, bool for_this_cpu, struct flo_packing *packing,
                     struct flo_err *err)
{
    *packing = (struct flo_packing){0};
    int rv = flo_gguf_open_fd(model_fd, &packing->gguf, err);
    if (rv == 0) {
        rv = flo_sidecar_new(packing->gguf, model_fd, &packing->sidecar, err);
    }
    if (rv == 0) {
        rv = flo_model_check(packing->gguf, for_this_cpu, packing->sidecar, err);
    }
    if (rv < 0) {
        flo_packing_close(packing);
    }
    return rv;
}

void flo_packing_close(struct flo_packing *packing)
{
    flo_sidecar_free(packing->sidecar);
    flo_gguf_close(packing->gguf);
    *packing = (struct flo_packing){0};
}
