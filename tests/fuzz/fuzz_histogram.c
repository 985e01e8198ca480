/* Histogram texts: refused, or exactly what encode writes. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* `text` must be refused or come back character for character. */
static void check(const char *text, size_t chars)
{
    struct flo_histogram histogram;
    struct flo_buf out = {0};
    struct flo_err err = {0};

    if (flo_histogram_decode(text, chars, &histogram, &err) < 0) {
        return;
    }
    flo_histogram_encode(&histogram, &out);
    if (out.failed || out.bytes != chars || memcmp(out.data, text, chars) != 0) {
        abort();
    }
    uint64_t median = flo_histogram_quantile(&histogram, 0.5);
    if (flo_histogram_quantile(&histogram, 1) < median) {
        abort();
    }
    flo_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char text[8193];

    check((const char *)data, bytes);
    /* The bytes after the base64 too, which mutation reaches faster. */
    if (bytes <= 6144) {
        flo_base64_encode(data, bytes, text);
        check(text, strlen(text));
    }
    return 0;
}
