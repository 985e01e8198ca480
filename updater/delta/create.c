/* Patch creation: makes a patch with one codec, or with the one that gives the
 * smallest, and reports its cost.  Publishers only; maps both files. */
#include "updater/delta/sink.h"

#include "updater/delta/publish/ranges.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/patch.h>

/* largest old file that bsdiff40 is tried for, in bytes */
#define SUFFIX_ARRAY_BYTES_MAX (256ull << 20)

typedef int delta_create_fn(const struct delta_input *input, int fd, struct flo_err *err);

static int create_raw(const struct delta_input *input, int fd, struct flo_err *err)
{
    int rv = flo_fd_write_all(fd, input->new, (size_t)input->new_bytes, err);

    return rv < 0 ? flo_wrap(err, rv, "patch") : 0;
}

static const struct {
    delta_create_fn *create; /* NULL: this build lacks the codec, as the decoder does */
    bool has_base;
} codecs[FLO_CODEC_COUNT] = {
    [FLO_CODEC_RAW] = {create_raw, false},
    [FLO_CODEC_ZSTD] = {flo_delta_zstd_create, false},
    [FLO_CODEC_BSDIFF40] = {flo_delta_bsdiff40_create, true},
    [FLO_CODEC_TENSOR1] = {flo_delta_tensor1_create, true},
    [FLO_CODEC_ADAPTER] = {NULL, true},
};

/* Maps a file into memory.  An empty file gives a pointer to a static byte. */
static int map_file(int fd, const char *name, const uint8_t **data, uint64_t *bytes,
                    struct flo_err *err)
{
    static const uint8_t nothing;

    FLO_TRY(flo_delta_file_bytes(fd, name, bytes, err));
    if (*bytes == 0) {
        *data = &nothing;
        return 0;
    }
    void *map = mmap(NULL, (size_t)*bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        return flo_fail_errno(err, FLO_E_IO_MAPPING, "%s", name);
    }
    *data = map;
    return 0;
}

static void unmap_file(const uint8_t *data, uint64_t bytes)
{
    void *map;

    if (data != NULL && bytes > 0) {
        memcpy(&map, &data, sizeof map);
        (void)munmap(map, (size_t)bytes);
    }
}

/* The codecs that a choice word stands for. */
struct choice {
    bool wanted[FLO_CODEC_COUNT];
    bool is_delta; /* true: delta codecs are tried, bsdiff40 only if the files suit it */
};

/* Parses a choice word such as "auto".  Returns false for an unknown word. */
static bool choose(const char *word, struct choice *out, struct flo_err *err)
{
    bool is_auto = strcmp(word, "auto") == 0;
    enum flo_codec codec;

    *out = (struct choice){.is_delta = is_auto || strcmp(word, "delta") == 0};
    out->wanted[FLO_CODEC_TENSOR1] = out->is_delta && flo_delta_codec_is_built(FLO_CODEC_TENSOR1);
    if (is_auto || strcmp(word, "full") == 0) {
        out->wanted[FLO_CODEC_RAW] = true;
        out->wanted[FLO_CODEC_ZSTD] = true;
        return true;
    }
    if (out->is_delta) {
        return true;
    }
    if (!flo_codec_parse(word, &codec)) {
        (void)flo_fail(err, FLO_E_USAGE,
                       "no codec \"%s\": auto full delta raw zstd bsdiff40 tensor1", word);
        return false;
    }
    if (flo_delta_codec_check(codec, err) < 0) {
        return false;
    }
    out->wanted[codec] = true;
    return true;
}

static bool can_bsdiff40(const struct delta_input *input)
{
    return input->old_bytes <= SUFFIX_ARRAY_BYTES_MAX;
}

static bool is_weights(const struct tensor_ranges *ranges, uint64_t bytes)
{
    return flo_tensor_ranges_typed(ranges) >= bytes / 4 * 3;
}

/* Tells whether three quarters of both files are weights of types that the
 * typed delta supports.  Then the typed delta gives a smaller patch than
 * bsdiff40 at a fiftieth of the cost.  For other files bsdiff40 may be better,
 * if the suffix array fits in memory. */
static bool are_both_weights(const struct delta_input *input)
{
    return is_weights(input->old_ranges, input->old_bytes) &&
           is_weights(input->new_ranges, input->new_bytes);
}

static int measure(enum flo_codec codec, const struct delta_input *input, uint64_t *bytes,
                   int *scratch, struct flo_err *err)
{
    int fd = flo_delta_scratch_open(err);

    if (fd < 0) {
        return fd;
    }
    int rv = codecs[codec].create(input, fd, err);
    if (rv == 0) {
        rv = flo_delta_file_bytes(fd, "patch", bytes, err);
    }
    if (rv < 0) {
        (void)close(fd);
        return rv;
    }
    *scratch = fd;
    return 0;
}

static int copy_file(int from, int to, uint64_t bytes, struct flo_err *err)
{
    const uint8_t *data = NULL;
    uint64_t mapped = 0;
    int rv = map_file(from, "patch", &data, &mapped, err);

    FLO_TRY(rv);
    if (ftruncate(to, 0) != 0 || lseek(to, 0, SEEK_SET) != 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "patch");
    } else {
        rv = flo_fd_write_all(to, data, (size_t)bytes, err);
    }
    unmap_file(data, mapped);
    return rv;
}

/* Tries one codec.  *scratch holds the smallest patch of all codecs tried so
 * far. */
static int measure_one(enum flo_codec codec, const struct delta_input *input,
                       struct flo_delta_made *out, int *scratch, struct flo_err *err)
{
    uint64_t bytes = 0;
    int fd = -1;
    int rv = measure(codec, input, &bytes, &fd, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "%s", flo_codec_word(codec));
    }
    if (!codecs[codec].has_base && bytes < out->full_bytes) {
        out->full_bytes = bytes;
    }
    if (*scratch < 0 || bytes < out->bytes) {
        flo_fd_cleanup(scratch);
        *scratch = fd;
        out->bytes = bytes;
        out->codec = codec;
    } else {
        (void)close(fd);
    }
    return 0;
}

/* Tries every wanted codec, the cheapest to decode first, and keeps the
 * smallest patch.  Among equal sizes the first one stays.  If the typed delta
 * refuses the files, bsdiff40 is tried instead, provided that its suffix array
 * fits in memory. */
static int measure_some(const struct delta_input *input, struct choice choice,
                        struct flo_delta_made *out, int *scratch, struct flo_err *err)
{
    static const enum flo_codec order[] = {FLO_CODEC_RAW, FLO_CODEC_ZSTD, FLO_CODEC_TENSOR1,
                                           FLO_CODEC_BSDIFF40};
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < FLO_COUNT(order); i++) {
        if (!choice.wanted[order[i]]) {
            continue;
        }
        rv = measure_one(order[i], input, out, scratch, err);
        if (rv == FLO_E_PATCH_LIMIT && choice.is_delta && can_bsdiff40(input) &&
            order[i] == FLO_CODEC_TENSOR1) {
            choice.wanted[FLO_CODEC_BSDIFF40] = true;
            rv = 0;
        }
    }
    return rv;
}

/* Tries the typed delta first when both files are models.  If its patch is a
 * third smaller than the file, no compressed full download can be smaller, so
 * no other codec is tried. */
static int measure_all(const struct delta_input *input, struct choice choice,
                       struct flo_delta_made *out, int *scratch, struct flo_err *err)
{
    bool are_weights =
        choice.is_delta && choice.wanted[FLO_CODEC_TENSOR1] && are_both_weights(input);

    out->full_bytes = input->new_bytes;
    if (choice.is_delta && !are_weights) {
        choice.wanted[FLO_CODEC_BSDIFF40] = can_bsdiff40(input);
    }
    if (are_weights) {
        struct choice typed = {.is_delta = true};
        typed.wanted[FLO_CODEC_TENSOR1] = true;
        choice.wanted[FLO_CODEC_TENSOR1] = false;
        int rv = measure_some(input, typed, out, scratch, err);
        FLO_TRY(rv);
        if (out->bytes <= input->new_bytes / 3 * 2) {
            return rv;
        }
    }
    return measure_some(input, choice, out, scratch, err);
}

/* Reads the headers of both files once, then tries the codecs. */
static int measure_ranges(struct delta_input *input, struct choice choice,
                          struct flo_delta_made *out, int *scratch, struct flo_err *err)
{
    FLO_CLEANUP(flo_tensor_ranges_close) struct tensor_ranges old = {0};
    FLO_CLEANUP(flo_tensor_ranges_close) struct tensor_ranges fresh = {0};

    if (choice.wanted[FLO_CODEC_TENSOR1]) {
        FLO_TRY(flo_tensor_ranges_open(input->old, input->old_bytes, &old, err));
        FLO_TRY(flo_tensor_ranges_open(input->new, input->new_bytes, &fresh, err));
        input->old_ranges = &old;
        input->new_ranges = &fresh;
    }
    return measure_all(input, choice, out, scratch, err);
}

static void *digest_old(void *context)
{
    struct delta_input *input = context;

    flo_sha256(input->old, (size_t)input->old_bytes, &input->old_digest);
    return NULL;
}

/* Computes both digests, in parallel if a thread can be started. */
static void take_digests(struct delta_input *input)
{
    pthread_t thread;
    bool has_thread = pthread_create(&thread, NULL, digest_old, input) == 0;

    flo_sha256(input->new, (size_t)input->new_bytes, &input->new_digest);
    if (has_thread) {
        (void)pthread_join(thread, NULL);
    } else {
        (void)digest_old(input);
    }
}

static int create_mapped(struct delta_input *input, struct choice choice, int patch_fd,
                         struct flo_delta_made *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int scratch = -1;
    uint64_t begin_us = flo_now_us();

    take_digests(input);
    FLO_TRY(measure_ranges(input, choice, out, &scratch, err));
    out->create_ms = (flo_now_us() - begin_us) / 1000;
    out->old_bytes = input->old_bytes;
    out->new_bytes = input->new_bytes;
    out->old_digest = input->old_digest;
    out->new_digest = input->new_digest;
    FLO_TRY(copy_file(scratch, patch_fd, out->bytes, err));
    return flo_sha256_fd(patch_fd, &out->digest, NULL, err);
}

int flo_delta_create(const char *word, int old_fd, int new_fd, int patch_fd,
                     const struct flo_delta_making *making, struct flo_delta_made *out,
                     struct flo_err *err)
{
    struct delta_input input = {.making = making};
    struct flo_delta_made made = {0};
    struct choice choice;

    if (!choose(word, &choice, err)) {
        return err == NULL ? FLO_E_USAGE : err->code;
    }
    int rv = map_file(old_fd, "old file", &input.old, &input.old_bytes, err);
    if (rv == 0) {
        rv = map_file(new_fd, "new file", &input.new, &input.new_bytes, err);
    }
    if (rv == 0) {
        rv = create_mapped(&input, choice, patch_fd, &made, err);
    }
    unmap_file(input.old, input.old_bytes);
    unmap_file(input.new, input.new_bytes);
    if (rv == 0) {
        *out = made;
    }
    return rv;
}
