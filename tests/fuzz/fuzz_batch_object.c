/* Documents of the folder of batches, and bodies of new batches: what is read
 * is written, and read back, the same. */
#include "agent/serve/batch/object.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static void batch_again(const struct flo_batch *batch)
{
    struct flo_buf text = {0}, again = {0};
    struct flo_batch other;

    flo_batch_write(batch, true, &text);
    must(!text.failed);
    if (text.bytes <= FLO_OBJECT_BYTES_MAX) {
        must(flo_batch_read(text.data, text.bytes, &other, NULL) == 0);
        flo_batch_write(&other, true, &again);
        must(strcmp(text.data, again.data) == 0);
        flo_batch_deinit(&other);
    }
    flo_buf_deinit(&again);
    flo_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    struct flo_batch_file file, same;
    struct flo_batch batch;
    struct flo_buf out = {0};

    if (flo_batch_file_read(text, bytes, &file, NULL) == 0) {
        must(flo_object_id_is("file-", file.id));
        flo_batch_file_write(&file, true, &out);
        must(flo_batch_file_read(out.data, out.bytes, &same, NULL) == 0);
        must(memcmp(&file, &same, sizeof(file)) == 0);
    }
    flo_buf_deinit(&out);
    if (flo_batch_read(text, bytes, &batch, NULL) == 0) {
        batch_again(&batch);
    }
    flo_batch_deinit(&batch);
    if (flo_batch_ask(text, bytes, 1000, &batch, NULL) == 0) {
        must(batch.expires_s == 1000 + 86400);
        flo_object_id_make("batch-", batch.id);
        flo_object_id_make("file-", batch.input);
        batch_again(&batch);
        flo_batch_deinit(&batch);
    }
    return 0;
}
