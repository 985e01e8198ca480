/* Two parts of a split GGUF file: what opens is safe to walk.  The input begins with the
 * bytes of the first part, as a number of 16 bits. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char folder[] = "/tmp/flotilla-fuzz-parts-XXXXXX";

static void remove_folder(void)
{
    rmdir(folder);
}

static void path_of(int number, char out[96])
{
    snprintf(out, 96, "%s/m-%05d-of-00002.gguf", folder, number);
}

static void write_part(int number, const uint8_t *data, size_t bytes)
{
    char path[96];
    path_of(number, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || flo_fd_write_all(fd, data, bytes, NULL) < 0) {
        abort();
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static bool is_made;
    struct flo_gguf *gguf = NULL;
    struct flo_err err = {0};
    char path[96];
    uint64_t sum = 0;

    if (bytes < 2) {
        return 0;
    }
    if (!is_made) {
        is_made = mkdtemp(folder) != NULL && atexit(remove_folder) == 0;
    }
    size_t first = (size_t)data[0] | (size_t)data[1] << 8;
    first = first < bytes - 2 ? first : bytes - 2;
    write_part(1, data + 2, first);
    write_part(2, data + 2 + first, bytes - 2 - first);
    path_of(2, path);
    if (flo_gguf_open_path(path, &gguf, &err) < 0 && err.what[0] == '\0') {
        abort();
    }
    for (size_t i = 0; gguf != NULL && i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        const uint8_t *at = flo_gguf_tensor_data(gguf, tensor);
        for (uint64_t b = 0; b < tensor->bytes; b++) {
            sum += at[b];
        }
    }
    flo_gguf_close(gguf);
    for (int i = 1; i <= 2; i++) {
        path_of(i, path);
        unlink(path);
    }
    return sum == UINT64_MAX ? 1 : 0;
}
