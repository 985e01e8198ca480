/* GGUF v2 and v3 files: a bounded reader, a writer, a search for broken floats.
 *
 * The reader works on memory (usually a mapped file) that must stay as it is
 * until flo_gguf_close().  Before memory is allocated, every count, size and
 * offset is checked against the limits below and against the bytes that are
 * really there.  A file that opens is safe to use without further checks:
 * strings and tensors lie inside it.  Tensors are aligned, do not overlap and
 * have whole blocks.  A string may be as long as the file, so a caller that
 * copies one needs a limit of its own.  A file that another process cuts short
 * while it is mapped raises SIGBUS, which ends the caller's process.
 *
 * Errors of opening: FLO_E_GGUF_MAGIC, _VERSION, _TRUNCATED, _LIMIT, _BOUNDS,
 * _TYPE, _SHAPE, _DUP, _NAME; FLO_E_GGUF_HPARAM for the alignment. */
#ifndef FLOTILLA_BASE_GGUF_H
#define FLOTILLA_BASE_GGUF_H

#include <flotilla/base.h>

#include "base/finite/finite.h"

#define FLO_GGUF_VERSION 3 /* version that the writer writes */
/* lowest version read; its layout is that of version 3, always little-endian */
#define FLO_GGUF_VERSION_MIN 2
#define FLO_GGUF_KV_COUNT_MAX 65536
#define FLO_GGUF_TENSOR_COUNT_MAX 65536
#define FLO_GGUF_KEY_BYTES_MAX 65535
#define FLO_GGUF_NAME_BYTES_MAX 64
#define FLO_GGUF_DIMS_MAX 4
#define FLO_GGUF_ALIGNMENT_MAX 65536

enum flo_gguf_value_type {
    FLO_GGUF_U8 = 0,
    FLO_GGUF_I8 = 1,
    FLO_GGUF_U16 = 2,
    FLO_GGUF_I16 = 3,
    FLO_GGUF_U32 = 4,
    FLO_GGUF_I32 = 5,
    FLO_GGUF_F32 = 6,
    FLO_GGUF_BOOL = 7,
    FLO_GGUF_STRING = 8,
    FLO_GGUF_ARRAY = 9,
    FLO_GGUF_U64 = 10,
    FLO_GGUF_I64 = 11,
    FLO_GGUF_F64 = 12,
};

/* Borrowed bytes of any value, without a NUL at their end. */
struct flo_gguf_text {
    const char *data;
    size_t bytes;
};

/* One key with its value, as borrowed bytes of the file. */
struct flo_gguf_kv {
    struct flo_gguf_text key;
    uint32_t type;       /* enum flo_gguf_value_type */
    uint32_t item_type;  /* type of an array's items; else equal to `type` */
    uint64_t count;      /* number of an array's items; else 1 */
    const uint8_t *data; /* the value, or the first item of an array */
    uint64_t bytes;      /* bytes of the value, or of all items of an array, without the type */
    /* bytes of the longest string in an array of strings; 0 for other values */
    uint64_t longest;
};

struct flo_gguf_tensor {
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    uint8_t dim_count; /* number of dimensions, 1 to 4 */
    uint32_t type;     /* type id, as in base/quant/quant.h */
    /* number of values in each dimension; dims[0] is the length of a row, and
     * unused dimensions are 1 */
    uint64_t dims[FLO_GGUF_DIMS_MAX];
    uint64_t values; /* number of values: the product of dims */
    uint64_t offset; /* offset from the beginning of the file */
    uint64_t bytes;
};

struct flo_gguf; /* an open file */

/* Opens a file whose bytes are in memory. */
FLO_MUST_USE int flo_gguf_open(const void *data, size_t bytes, struct flo_gguf **out,
                               struct flo_err *err);
/* Maps a regular file read-only and opens it.  The caller may close the
 * descriptor afterwards.  Fails as flo_gguf_open() does, and with FLO_E_IO_READ
 * or FLO_E_IO_MAPPING. */
FLO_MUST_USE int flo_gguf_open_fd(int fd, struct flo_gguf **out, struct flo_err *err);
/* Opens a file by its path, as flo_gguf_open_named() does.  Fails also with
 * FLO_E_ABSENT or FLO_E_IO_OPEN; the text of each error begins with the
 * path. */
FLO_MUST_USE int flo_gguf_open_path(const char *path, struct flo_gguf **out, struct flo_err *err);
/* Opens a file as flo_gguf_open_fd() does.  A part of a split model opens all parts, if they
 * lie next to `path` (parts.c); without a path it is refused.
 *
 * FLO_E_ABSENT, FLO_E_GGUF_MISSING: a part is missing, or of another model. */
FLO_MUST_USE int flo_gguf_open_named(int fd, const char *path, struct flo_gguf **out,
                                     struct flo_err *err);
/* Closes the file and unmaps it if flo_gguf_open_fd() or _path() mapped it.
 * NULL is allowed. */
void flo_gguf_close(struct flo_gguf *gguf);

/* Returns the size of the file. */
uint64_t flo_gguf_file_bytes(const struct flo_gguf *gguf);
/* Gives the file's mapped pages back to the kernel, which reads a page again
 * when it is next used. */
void flo_gguf_drop_pages(const struct flo_gguf *gguf);
uint64_t flo_gguf_data_offset(const struct flo_gguf *gguf);
uint32_t flo_gguf_version(const struct flo_gguf *gguf);
uint32_t flo_gguf_alignment(const struct flo_gguf *gguf);
size_t flo_gguf_kv_count(const struct flo_gguf *gguf);
const struct flo_gguf_kv *flo_gguf_kv_at(const struct flo_gguf *gguf, size_t index);

/* ---- keys ---- */

/* Returns the entry of a key, or NULL when the file lacks the key. */
const struct flo_gguf_kv *flo_gguf_find(const struct flo_gguf *gguf, const char *key);
/* Reads a key as an unsigned number, of any integer type whose value fits.  An
 * absent key leaves *out unchanged and is no error, so *out can hold the
 * default.  A key of another type is FLO_E_GGUF_TYPE, a negative value
 * FLO_E_GGUF_HPARAM.  flo_gguf_f32() takes f32 and f64. */
FLO_MUST_USE int flo_gguf_u32(const struct flo_gguf *gguf, const char *key, uint32_t *out,
                              struct flo_err *err);
FLO_MUST_USE int flo_gguf_u64(const struct flo_gguf *gguf, const char *key, uint64_t *out,
                              struct flo_err *err);
FLO_MUST_USE int flo_gguf_f32(const struct flo_gguf *gguf, const char *key, float *out,
                              struct flo_err *err);
FLO_MUST_USE int flo_gguf_bool(const struct flo_gguf *gguf, const char *key, bool *out,
                               struct flo_err *err);
FLO_MUST_USE int flo_gguf_string(const struct flo_gguf *gguf, const char *key,
                                 struct flo_gguf_text *out, struct flo_err *err);
/* Copies a string, cut to whole characters; an absent key gives "". */
void flo_gguf_copy_string(const struct flo_gguf *gguf, const char *key, char *out, size_t bytes);
/* Finds an array whose items have the given type.  Sets *out to NULL when the
 * key is absent. */
FLO_MUST_USE int flo_gguf_array(const struct flo_gguf *gguf, const char *key, uint32_t item_type,
                                const struct flo_gguf_kv **out, struct flo_err *err);
/* Fails with FLO_E_GGUF_MISSING and the key's name when the key is absent. */
FLO_MUST_USE int flo_gguf_require(const struct flo_gguf *gguf, const char *key,
                                  struct flo_err *err);

/* Returns the next item of a string array.  The caller begins with cursor =
 * kv->data and calls it kv->count times. */
struct flo_gguf_text flo_gguf_next_string(const uint8_t **cursor);
/* Tells whether `text` equals the C string. */
bool flo_gguf_text_is(struct flo_gguf_text text, const char *word);

/* ---- tensors ---- */

size_t flo_gguf_tensor_count(const struct flo_gguf *gguf);
const struct flo_gguf_tensor *flo_gguf_tensor_at(const struct flo_gguf *gguf, size_t index);
/* Finds a tensor by name with a binary search.  Returns NULL when there is
 * none. */
const struct flo_gguf_tensor *flo_gguf_tensor_find(const struct flo_gguf *gguf, const char *name);
/* Returns the tensor's bytes, which are aligned to flo_gguf_alignment() (8 or
 * more) in the file. */
const void *flo_gguf_tensor_data(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor);

/* ---- the search for NaN and infinity ---- */

/* Prepares a scan for flo_finite_add().  The pieces need not come from the
 * memory in which `gguf` was opened.  flo_finite_finish() returns
 * FLO_E_GGUF_TRUNCATED when tensors are missing. */
void flo_gguf_scan_init(struct flo_finite *scan, const struct flo_gguf *gguf);
/* Searches the whole mapped file for NaN and infinity at once. */
FLO_MUST_USE int flo_gguf_scan_nonfinite(const struct flo_gguf *gguf, struct flo_err *err);

/* ---- writing ---- */

/* A key to write in place of the source file's key, or at the end when the
 * source lacks it.  Only strings, u32, i32, f32, bool and arrays are possible;
 * `type` says which of the values is read. */
struct flo_gguf_edit {
    const char *key;
    uint32_t type; /* FLO_GGUF_STRING, _U32, _I32, _F32, _BOOL or _ARRAY */
    const char *text;
    uint32_t u32; /* also the bits of an i32 */
    float f32;
    bool is_set;
    /* an array: type and number of its items, and their bytes as a file has
     * them */
    uint32_t item_type;
    uint64_t item_count;
    const void *items;
    size_t items_bytes;
};
/* Gives the bytes to write for a tensor: tensor->bytes of them, valid until the
 * next call.  *data NULL copies the bytes of the source file, whose type must
 * then be equal.  `tensor` describes the tensor of the new file.  Only its
 * `offset` is the source's, so flo_gguf_tensor_data() returns the source's
 * bytes. */
typedef int flo_gguf_tensor_source(void *context, const struct flo_gguf_tensor *tensor,
                                   const void **data, struct flo_err *err);
/* Writes `source` with `edits` to a descriptor, one tensor at a time in the
 * source's order of offsets.  With `types` NULL the tensors keep their offsets
 * in the data section.  Else `types` has flo_gguf_tensor_count() items in the
 * order of flo_gguf_tensor_at(), and the tensors follow each other without
 * gaps.
 *
 * `replace` may be NULL.  general.alignment cannot be edited.  Returns
 * FLO_E_GGUF_SHAPE when a row is no multiple of its new type's block, or the
 * error that `replace` returned.  FLO_E_USAGE, FLO_E_IO_WRITE,
 * FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_gguf_write(const struct flo_gguf *source, const uint32_t *types,
                                const struct flo_gguf_edit *edits, size_t edit_count,
                                flo_gguf_tensor_source *replace, void *context, int fd,
                                struct flo_err *err);
/* Writes a file of these keys and tensors, one tensor after the other.  The
 * caller fills in the name, dims, values and type of each tensor; `give`
 * provides all bytes.  Fails as flo_gguf_write() does. */
FLO_MUST_USE int flo_gguf_create(const struct flo_gguf_tensor *tensors, size_t tensor_count,
                                 const struct flo_gguf_edit *keys, size_t key_count,
                                 flo_gguf_tensor_source *give, void *context, int fd,
                                 struct flo_err *err);
/* Writes the same file up to its data section, for a caller that has no tensor
 * whole in memory.  Sets the bytes of each tensor and its offset from the
 * beginning of the data section; the caller writes the data in this order, with
 * zeros up to each offset and up to *data_bytes. */
FLO_MUST_USE int flo_gguf_create_head(struct flo_gguf_tensor *tensors, size_t tensor_count,
                                      const struct flo_gguf_edit *keys, size_t key_count, int fd,
                                      uint64_t *data_bytes, struct flo_err *err);

#endif
