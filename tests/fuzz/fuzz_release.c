/* Release documents: anything is refused or written back to the same text. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_release release;
    struct flo_release again;
    struct flo_buf text = {0};
    struct flo_err err = {0};

    if (flo_release_parse((const char *)data, bytes, NULL, &release, &err) <
        0) {
        return 0;
    }
    if (flo_release_write(&release, &text, &err) == 0) {
        if (flo_release_parse(text.data, text.bytes, NULL, &again, &err) < 0) {
            abort();
        }
        flo_release_deinit(&again);
    }
    flo_buf_deinit(&text);
    flo_release_deinit(&release);
    return 0;
}
