/* Patch inspection: finds the kind of a patch file by its first bytes. */
#include "updater/delta/tensor/format.h"

#include <string.h>

#include <sys/types.h>

#include <flotilla/errors/patch.h>

static void inspect_bsdiff40(const struct bsdiff40_head *head, struct flo_delta_facts *out)
{
    out->codec = FLO_CODEC_BSDIFF40;
    out->new_bytes = head->new_bytes;
    out->control_bytes = head->control_bytes;
    out->diff_bytes = head->diff_bytes;
    out->extra_bytes = head->extra_bytes;
    out->memory_bytes = FLO_DELTA_MEMORY_BYTES_MAX;
}

static void inspect_zstd(const struct zstd_head *head, struct flo_delta_facts *out)
{
    out->codec = FLO_CODEC_ZSTD;
    out->new_bytes = head->content_bytes;
    out->memory_bytes = flo_zstd_memory_bytes(head);
    while (out->window_log < 63 && (UINT64_C(1) << out->window_log) < head->window_bytes) {
        out->window_log++;
    }
}

static void inspect_tensor1(const struct tensor_head *head, struct flo_delta_facts *out)
{
    out->codec = FLO_CODEC_TENSOR1;
    out->new_bytes = head->new_bytes;
    out->memory_bytes = head->memory_bytes;
    out->part_count = head->part_count;
    out->index_bytes = head->packed_bytes;
}

int flo_delta_inspect(int patch_fd, struct flo_delta_facts *out, struct flo_err *err)
{
    static const uint8_t zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    struct flo_delta_facts facts = {.codec = FLO_CODEC_RAW};
    uint8_t data[TENSOR_HEAD_BYTES];

    FLO_TRY(flo_delta_file_bytes(patch_fd, "patch", &facts.patch_bytes, err));
    size_t bytes = facts.patch_bytes < sizeof data ? (size_t)facts.patch_bytes : sizeof data;
    int rv = flo_fd_pread_all(patch_fd, data, bytes, 0, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "patch");
    }
    if ((bytes < 8 && memcmp(data, "BSDIFF40", bytes) == 0) ||
        (bytes < 4 && memcmp(data, zstd_magic, bytes) == 0)) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "the patch ends after %zu bytes", bytes);
    }
    if (bytes >= 8 && memcmp(data, "BSDIFF40", 8) == 0) {
        struct bsdiff40_head head;
        FLO_TRY(flo_bsdiff40_head_read(data, bytes, facts.patch_bytes, &head, err));
        inspect_bsdiff40(&head, &facts);
    } else if (flo_tensor_magic_is(data, bytes)) {
        struct tensor_head head;
        FLO_TRY(flo_tensor_head_read(data, bytes, facts.patch_bytes, &head, err));
        inspect_tensor1(&head, &facts);
        flo_sha256(data, sizeof data, &facts.head);
    } else if (bytes >= 4 && memcmp(data, zstd_magic, 4) == 0) {
        struct zstd_head head;
        FLO_TRY(flo_zstd_head_read(data, bytes, &head, err));
        inspect_zstd(&head, &facts);
    } else {
        facts.new_bytes = facts.patch_bytes;
    }
    *out = facts;
    return 0;
}
