/* For tests of patches: files without names, results in memory, hand-made
 * BSDIFF40 patches. */
#ifndef FLOTILLA_TEST_DELTA_HELP_H
#define FLOTILLA_TEST_DELTA_HELP_H

#include <flotilla/release.h>

#define OLD_MODEL "tests/models/tiny-v2.Q4_0.gguf"
#define NEW_MODEL "tests/models/tiny-v2.1.Q4_0.gguf"

/* A whole file; the caller frees its data. */
struct bytes {
    char *data;
    size_t bytes;
};
struct bytes load(const char *path);
/* Pseudo-random bytes that are the same everywhere. */
void fill(uint8_t *data, size_t bytes, uint32_t seed);
/* Bytes in a file that is gone with its descriptor. */
int file_of(const void *data, size_t bytes);

/* flo_delta_job's on_data: adds to the flo_buf that is its context. */
int append_piece(void *context, const void *data, size_t bytes, struct flo_err *err);
/* The result of applying, in `out`, which is emptied first. */
int apply_files(enum flo_codec codec, int old_fd, int patch_fd, uint64_t new_bytes,
                struct flo_buf *out, struct flo_err *err);
int apply_bytes(enum flo_codec codec, const void *old, size_t old_bytes, const void *patch,
                size_t patch_bytes, uint64_t new_bytes, struct flo_buf *out, struct flo_err *err);
/* A patch between two pieces of memory, in `out`. */
void create_bytes(const char *choice, const void *old, size_t old_bytes, const void *new,
                  size_t new_bytes, struct flo_buf *out);

/* A child may not grow its address space by more than the limit; sanitizers
 * live on address space, so they run without. */
bool limit_growth(uint64_t bytes);
/* Before any thread, where the limit is to be a tight one: blocks that are
 * freed go back to the kernel, and no thread reserves an arena.  A child would
 * find room there that is counted already. */
void limit_growth_begin(void);

/* Sign and magnitude, little-endian: written here once more, by hand. */
void put_offset(uint8_t *p, int64_t value);
void add_bzip2(struct flo_buf *out, const void *data, size_t bytes);
/* A whole patch from plain parts; `triples` are (add, insert, seek). */
void craft_patch(const int64_t (*triples)[3], size_t count, const char *diff, size_t diff_bytes,
                 const char *extra, size_t extra_bytes, int64_t new_bytes, struct flo_buf *out);

#endif
