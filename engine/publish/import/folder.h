/* Folder: the files of a model as people share it: config.json and one or more
 * safetensors files.
 *
 * Nothing of the folder is run, and only names inside it are opened.  The
 * tensors' heads are read and checked; their data is read piece by piece
 * later. */
#ifndef FLOTILLA_ENGINE_IMPORT_FOLDER_H
#define FLOTILLA_ENGINE_IMPORT_FOLDER_H

#include "base/safetensors/safetensors.h"

struct flo_import_packed;

#define FLO_FOLDER_SHARDS_MAX 512
#define FLO_FOLDER_TENSORS_MAX (1u << 18)

struct flo_folder_tensor {
    struct flo_safetensor at; /* `name` belongs to the folder */
    int fd;
    uint64_t values;
    uint32_t order;                   /* place in the order of shards and offsets */
    bool is_part;                     /* scales or zeros of another tensor */
    struct flo_import_packed *packed; /* codes that the tensor's values are made of; NULL: none */
};

struct flo_folder {
    const char *path;
    struct flo_folder_tensor *tensors; /* sorted by name */
    size_t count;
    uint64_t bytes; /* bytes of all tensors */
    struct flo_safetensors *shards[FLO_FOLDER_SHARDS_MAX];
    int fds[FLO_FOLDER_SHARDS_MAX];
    size_t shard_count;
};

/* Opens the folder's weights.  `folder` is zero, but for its `path`; it needs
 * flo_folder_close() even after an error.
 *
 * FLO_E_MODEL_FOLDER   a shard is missing, the index names a file outside, a
 *                      tensor is there twice, or the weights are pickles
 * FLO_E_SAFETENSORS    a shard is malformed
 * FLO_E_ABSENT, FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_MEMORY */
FLO_MUST_USE int flo_folder_open(struct flo_folder *folder, struct flo_err *err);
void flo_folder_close(struct flo_folder *folder);
/* Appends a line of a report (reading.h) for each file of weights that is not taken. */
void flo_folder_left(const struct flo_folder *folder, struct flo_buf *report);
/* Returns the tensor of this name, or NULL. */
const struct flo_folder_tensor *flo_folder_find(const struct flo_folder *folder, const char *name);

/* Adds the tensors of one more file, named from the folder, each with `prefix`
 * in front of its name.  Fails as flo_folder_open() does. */
FLO_MUST_USE int flo_folder_add(struct flo_folder *folder, const char *name, const char *prefix,
                                struct flo_err *err);
/* Reads a file of the folder, with a NUL behind its bytes.  An absent file
 * gives *data NULL and no error.  The caller frees *data. */
FLO_MUST_USE int flo_folder_read(const struct flo_folder *folder, const char *name,
                                 size_t bytes_max, char **data, size_t *bytes, struct flo_err *err);

#endif
