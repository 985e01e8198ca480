/* The rows of a computed sidecar, for the files of this folder. */
#ifndef FLOTILLA_ENGINE_PACK_ROWS_H
#define FLOTILLA_ENGINE_PACK_ROWS_H

#include "engine/pack/sidecar.h"

struct flo_sidecar_row { /* a row of the sidecar's table, for one packed tensor */
    const struct flo_gguf_tensor *tensor;
    const uint8_t *source; /* data of the tensor in the mapped model */
    uint64_t rows;         /* rows of the matrix, or of all experts together */
    uint64_t offset, bytes;
    size_t row_bytes, strip_bytes;
};

struct flo_sidecar {
    const struct flo_gguf *gguf;
    uint64_t bytes, replaced;
    size_t count, head_bytes;
    bool has_experts; /* a tensor holds the matrices of several experts */
    /* rows of the table, in the order of the tensors in the model's file */
    struct flo_sidecar_row *rows;
    uint8_t *head;       /* with the table */
    const uint8_t *data; /* bytes of the mapped sidecar; NULL: it is not mapped */
};

uint64_t flo_sidecar_strips(const struct flo_sidecar_row *row);
int flo_sidecar_check_size(const struct flo_sidecar *sidecar, int fd, struct flo_err *err);

#endif
