/* GGUF files: opens one by descriptor, as a read-only mapping. */
#include "base/gguf/open_file.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/io.h>

int flo_gguf_open_fd(int fd, struct flo_gguf **out, struct flo_err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "the model's descriptor");
    }
    if (!S_ISREG(status.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "a model is a regular file");
    }
    if (status.st_size == 0) {
        return flo_fail(err, FLO_E_GGUF_MAGIC, "the file is empty");
    }
    if ((uint64_t)status.st_size > SIZE_MAX / 2) { /* 32-bit machines */
        return flo_fail(err, FLO_E_IO_MAPPING, "a model of %lld bytes; this machine can map %zu",
                        (long long)status.st_size, SIZE_MAX / 2);
    }
    size_t bytes = (size_t)status.st_size;
    void *data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return flo_fail_errno(err, FLO_E_IO_MAPPING, "%zu bytes of a model", bytes);
    }
    int rv = flo_gguf_open(data, bytes, out, err);
    if (rv < 0) {
        munmap(data, bytes);
        return rv;
    }
    (*out)->is_mapped = true;
    return 0;
}

void flo_gguf_drop_pages(const struct flo_gguf *gguf)
{
    if (gguf->is_mapped) {
        (void)madvise((void *)(uintptr_t)gguf->data, (size_t)gguf->file_bytes, MADV_DONTNEED);
    }
}
