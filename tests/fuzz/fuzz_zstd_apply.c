/* zstd downloads: refused, or exactly the agreed bytes. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/release.h>

#define NEW_BYTES_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    struct flo_delta_facts facts;
    uint64_t written = 0;
    uint64_t new_bytes = 1000;

    if (fd < 0) {
        fd = memfd_create("patch", MFD_CLOEXEC);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, bytes, 0) != (ssize_t)bytes) {
        abort();
    }
    if (flo_delta_inspect(fd, &facts, NULL) == 0 && facts.new_bytes <= NEW_BYTES_MAX) {
        new_bytes = facts.new_bytes;
    }
    const struct flo_delta_job job = {.codec = FLO_CODEC_ZSTD,
                                      .patch_fd = fd,
                                      .base_fd = -1,
                                      .new_bytes = new_bytes,
                                      .on_data = on_data,
                                      .context = &written};
    int rv = flo_delta_apply(&job, NULL, NULL);
    if (written > new_bytes || (rv == 0 && written != new_bytes)) {
        abort();
    }
    return 0;
}
