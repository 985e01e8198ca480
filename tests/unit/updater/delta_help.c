/* See delta_help.h. */
#include "delta_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bzlib.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int file_of(const void *data, size_t bytes)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(flo_fd_write_all(fd, data, bytes, NULL), 0);
    return fd;
}

int append_piece(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)err;
    flo_buf_add(context, data, bytes);
    return 0;
}

int apply_files(enum flo_codec codec, int old_fd, int patch_fd, uint64_t new_bytes,
                struct flo_buf *out, struct flo_err *err)
{
    const struct flo_delta_job job = {.codec = codec,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = new_bytes,
                                      .on_data = append_piece,
                                      .context = out};

    memset(err, 0, sizeof *err);
    out->bytes = 0;
    return flo_delta_apply(&job, NULL, err);
}

int apply_bytes(enum flo_codec codec, const void *old, size_t old_bytes, const void *patch,
                size_t patch_bytes, uint64_t new_bytes, struct flo_buf *out, struct flo_err *err)
{
    int old_fd = file_of(old, old_bytes);
    int patch_fd = file_of(patch, patch_bytes);
    int rv = apply_files(codec, old_fd, patch_fd, new_bytes, out, err);

    (void)close(old_fd);
    (void)close(patch_fd);
    return rv;
}

void create_bytes(const char *choice, const void *old, size_t old_bytes, const void *new,
                  size_t new_bytes, struct flo_buf *out)
{
    struct flo_delta_made made;
    struct flo_err err = {0};
    int old_fd = file_of(old, old_bytes);
    int new_fd = file_of(new, new_bytes);
    int patch_fd = file_of("", 0);

    assert_int_equal(flo_delta_create(choice, old_fd, new_fd, patch_fd, NULL, &made, &err), 0);
    out->bytes = 0;
    char *data = malloc((size_t)made.bytes + 1);
    assert_int_equal(flo_fd_pread_all(patch_fd, data, (size_t)made.bytes, 0, &err), 0);
    flo_buf_add(out, data, (size_t)made.bytes);
    free(data);
    (void)close(old_fd);
    (void)close(new_fd);
    (void)close(patch_fd);
}

void put_offset(uint8_t *p, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(magnitude >> (8 * i));
    }
    if (value < 0) {
        p[7] |= 0x80;
    }
}

void add_bzip2(struct flo_buf *out, const void *data, size_t bytes)
{
    unsigned packed_bytes = (unsigned)(bytes + bytes / 50 + 700);
    char *packed = malloc(packed_bytes);
    char *source = malloc(bytes + 1);

    memcpy(source, data, bytes);
    assert_int_equal(
        BZ2_bzBuffToBuffCompress(packed, &packed_bytes, source, (unsigned)bytes, 9, 0, 0), BZ_OK);
    flo_buf_add(out, packed, packed_bytes);
    free(source);
    free(packed);
}

void craft_patch(const int64_t (*triples)[3], size_t count, const char *diff, size_t diff_bytes,
                 const char *extra, size_t extra_bytes, int64_t new_bytes, struct flo_buf *out)
{
    struct flo_buf control = {0};
    struct flo_buf parts[3] = {{0}};
    uint8_t head[32] = "BSDIFF40";

    for (size_t i = 0; i < count; i++) {
        uint8_t triple[24];
        put_offset(triple, triples[i][0]);
        put_offset(triple + 8, triples[i][1]);
        put_offset(triple + 16, triples[i][2]);
        flo_buf_add(&control, triple, sizeof triple);
    }
    add_bzip2(&parts[0], control.data == NULL ? "" : control.data, control.bytes);
    add_bzip2(&parts[1], diff, diff_bytes);
    add_bzip2(&parts[2], extra, extra_bytes);
    put_offset(head + 8, (int64_t)parts[0].bytes);
    put_offset(head + 16, (int64_t)parts[1].bytes);
    put_offset(head + 24, new_bytes);
    out->bytes = 0;
    flo_buf_add(out, head, sizeof head);
    for (size_t i = 0; i < 3; i++) {
        flo_buf_add(out, parts[i].data, parts[i].bytes);
        flo_buf_deinit(&parts[i]);
    }
    flo_buf_deinit(&control);
}

struct bytes load(const char *path)
{
    struct bytes file = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_file_read(path, 16 << 20, &file.data, &file.bytes, &err), 0);
    return file;
}

void fill(uint8_t *data, size_t bytes, uint32_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t)(seed >> 24);
    }
}

void limit_growth_begin(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 10);
}

bool limit_growth(uint64_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
    (void)bytes;
    return true;
#else
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    bool is_read = file != NULL && fscanf(file, "%lu", &pages) == 1;
    struct rlimit limit;

    if (file != NULL) {
        (void)fclose(file);
    }
    limit.rlim_cur = (rlim_t)(pages * (unsigned long)sysconf(_SC_PAGESIZE) + bytes);
    limit.rlim_max = limit.rlim_cur;
    return is_read && setrlimit(RLIMIT_AS, &limit) == 0;
#endif
}
