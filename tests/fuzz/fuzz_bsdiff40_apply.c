/* BSDIFF40 patches.  First byte even: the rest is a patch file.  Odd: the rest
 * is what stands inside the compressed parts (count of triples, triples, then
 * diff and extra bytes), packed here, so that the checks behind bzip2 are
 * reached.  Whatever comes, never more than the agreed bytes go out. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bzlib.h>

#include <flotilla/release.h>

#define OLD_BYTES 5000
#define NEW_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

static void write_file(int fd, const void *data, size_t bytes)
{
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, bytes, 0) != (ssize_t)bytes) {
        abort();
    }
}

static void pack(struct flo_buf *out, const uint8_t *data, size_t bytes)
{
    static char packed[1 << 18];
    unsigned packed_bytes = sizeof packed;
    char *source = malloc(bytes + 1);

    memcpy(source, data, bytes);
    if (BZ2_bzBuffToBuffCompress(packed, &packed_bytes, source, (unsigned)bytes, 1, 0, 0) ==
        BZ_OK) {
        flo_buf_add(out, packed, packed_bytes);
    }
    free(source);
}

/* A patch of the plain parts in `data`. */
static void build(const uint8_t *data, size_t bytes, struct flo_buf *out)
{
    struct flo_buf parts[3] = {{0}};
    uint8_t head[32] = "BSDIFF40";
    size_t control = bytes > 3 ? 24u * data[0] : 0;

    if (bytes < 3) {
        return;
    }
    uint64_t new_bytes = flo_get_u16(data + 1);
    data += 3;
    bytes = bytes - 3 > 60000 ? 60000 : bytes - 3;
    control = control > bytes ? bytes : control;
    size_t diff = (bytes - control) / 2;
    pack(&parts[0], data, control);
    pack(&parts[1], data + control, diff);
    pack(&parts[2], data + control + diff, bytes - control - diff);
    flo_put_u64(head + 8, parts[0].bytes);
    flo_put_u64(head + 16, parts[1].bytes);
    flo_put_u64(head + 24, new_bytes);
    flo_buf_add(out, head, sizeof head);
    for (size_t i = 0; i < 3; i++) {
        flo_buf_add(out, parts[i].data, parts[i].bytes);
        flo_buf_deinit(&parts[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int old_fd = -1;
    static int patch_fd = -1;
    struct flo_buf patch = {0};
    struct flo_delta_facts facts;
    uint64_t written = 0;

    if (old_fd < 0) {
        uint8_t old[OLD_BYTES];
        for (size_t i = 0; i < sizeof old; i++) {
            old[i] = (uint8_t)(i * i >> 3);
        }
        old_fd = memfd_create("old", MFD_CLOEXEC);
        patch_fd = memfd_create("patch", MFD_CLOEXEC);
        write_file(old_fd, old, sizeof old);
    }
    if (bytes == 0) {
        return 0;
    }
    if ((data[0] & 1) == 0) {
        flo_buf_add(&patch, data + 1, bytes - 1);
    } else {
        build(data + 1, bytes - 1, &patch);
    }
    write_file(patch_fd, patch.data == NULL ? "" : patch.data, patch.bytes);
    flo_buf_deinit(&patch);
    uint64_t new_bytes = 6200;
    if (flo_delta_inspect(patch_fd, &facts, NULL) == 0 && facts.new_bytes <= NEW_BYTES_MAX) {
        new_bytes = facts.new_bytes;
    }
    const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = new_bytes,
                                      .on_data = on_data,
                                      .context = &written};
    int rv = flo_delta_apply(&job, NULL, NULL);
    if (written > new_bytes || (rv == 0 && written != new_bytes)) {
        abort();
    }
    return 0;
}
