/* Release documents: anything is refused or written back to the same text. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const struct flo_release *release)
{
    must(release->floor <= release->number);
    must(release->file_count <= FLO_RELEASE_FILES_MAX);
    for (uint32_t i = 0; i < release->file_count; i++) {
        must(flo_release_name_is_valid(release->files[i].name));
        must(flo_release_chunks(&release->files[i]) <= FLO_RELEASE_CHUNKS_MAX);
    }
    for (uint32_t i = 0; i < release->variant_count; i++) {
        const struct flo_release_variant *variant = &release->variants[i];
        const struct flo_release_file *entry = flo_release_entry(release, variant);
        must(!flo_release_is_native(variant) || entry != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_release *release = NULL;
    struct flo_release *again = NULL;
    struct flo_buf once = {0};
    struct flo_buf twice = {0};

    if (flo_release_new((const char *)data, bytes, NULL, &release, NULL) < 0) {
        return 0;
    }
    check(release);
    if (flo_release_write(release, &once, NULL) == 0) {
        must(flo_release_new(once.data, once.bytes, NULL, &again, NULL) == 0);
        must(flo_release_write(again, &twice, NULL) == 0);
        must(once.bytes == twice.bytes && memcmp(once.data, twice.data, once.bytes) == 0);
    }
    flo_release_free(again);
    flo_release_free(release);
    flo_buf_deinit(&once);
    flo_buf_deinit(&twice);
    return 0;
}
