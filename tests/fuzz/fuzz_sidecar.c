/* Packed weights from outside: a file next to a small model is mapped or
 * refused, and what is mapped is the model's.
 *
 * The first byte of the input chooses where the rest is laid over a file that
 * is right, so that heads that are nearly right are reached. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/model/file/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_packing packing;
static char *right; /* the file as it should be */
static size_t right_bytes;
static int model = -1;

static void prepare(void)
{
    int fd = memfd_create("right", MFD_CLOEXEC);

    if (flo_file_open("tests/oracle/tiny/smollm2-S-q4_1.gguf", &model, NULL) < 0 ||
        flo_packing_open(model, false, &packing, NULL) < 0) {
        __builtin_trap(); /* run from the source folder */
    }
    right_bytes = (size_t)flo_sidecar_bytes(packing.sidecar);
    if (ftruncate(fd, (off_t)right_bytes) < 0 ||
        flo_sidecar_write(packing.sidecar, fd, 1, NULL, NULL, NULL) < 0) {
        __builtin_trap();
    }
    right = mmap(NULL, right_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_sidecar *sidecar = NULL;
    int fd = memfd_create("packed", MFD_CLOEXEC);

    if (right == NULL) {
        prepare();
    }
    if (bytes > 0 && data[0] < 128) { /* over a right one, at 16 times that */
        size_t at = (size_t)data[0] * 16;
        bytes = bytes < right_bytes - at ? bytes : right_bytes - at;
        (void)!write(fd, right, right_bytes);
        (void)!pwrite(fd, data + 1, bytes - 1, (off_t)at);
    } else if (bytes > 0) {
        (void)!write(fd, data + 1, bytes - 1);
    }
    if (flo_sidecar_new(packing.gguf, model, &sidecar, NULL) == 0 &&
        flo_sidecar_map(sidecar, fd, NULL) == 0) {
        size_t head = 64 + 128 * flo_sidecar_tensors(sidecar);
        if (memcmp(flo_sidecar_at(sidecar, 0), right, head) != 0) {
            __builtin_trap();
        }
    }
    flo_sidecar_free(sidecar);
    close(fd);
    return 0;
}
