/* How far quantized weights lie from the floats they were made from.
 *
 * usage: quant_error TYPE FLOATS.gguf ONE.gguf OTHER.gguf
 * For each file the rms of the differences over the rms of the floats, in
 * percent, of the matrices that both have in that type: tools differ in what
 * they give a better one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"

struct sums {
    double error, size;
};

static float *decoded(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor)
{
    float *values = malloc(tensor->values * sizeof(*values));

    if (values != NULL) {
        flo_quant_type(tensor->type)
            ->decode(flo_gguf_tensor_data(gguf, tensor), values, tensor->values);
    }
    return values;
}

static void add_tensor(const struct flo_gguf *floats, const struct flo_gguf *file,
                       const struct flo_gguf_tensor *tensor, struct sums *sums)
{
    const struct flo_gguf_tensor *source = flo_gguf_tensor_find(floats, tensor->name);
    float *want, *got;

    if (source == NULL || source->values != tensor->values) {
        return;
    }
    want = decoded(floats, source);
    got = decoded(file, tensor);
    for (size_t i = 0; want != NULL && got != NULL && i < tensor->values; i++) {
        double difference = (double)got[i] - want[i];

        sums->error += difference * difference;
        sums->size += (double)want[i] * want[i];
    }
    free(want);
    free(got);
}

int main(int argc, char **argv)
{
    struct flo_gguf *floats, *files[2];
    struct flo_err err = {0};

    if (argc != 5 || flo_gguf_open_path(argv[2], &floats, &err) < 0 ||
        flo_gguf_open_path(argv[3], &files[0], &err) < 0 ||
        flo_gguf_open_path(argv[4], &files[1], &err) < 0) {
        fprintf(stderr, "usage: quant_error TYPE FLOATS.gguf ONE.gguf OTHER.gguf\n");
        return 2;
    }
    for (size_t i = 0; i < 2; i++) {
        struct sums sums = {0};
        size_t count = 0;

        for (size_t t = 0; t < flo_gguf_tensor_count(files[i]); t++) {
            const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(files[i], t);
            const struct flo_gguf_tensor *same = flo_gguf_tensor_find(files[1 - i], tensor->name);

            if (same != NULL && same->type == tensor->type &&
                strcmp(flo_quant_type(tensor->type)->name, argv[1]) == 0) {
                add_tensor(floats, files[i], tensor, &sums);
                count++;
            }
        }
        printf("%.4f %zu\n", 100 * sqrt(sums.error / sums.size), count);
    }
    flo_gguf_close(files[1]);
    flo_gguf_close(files[0]);
    flo_gguf_close(floats);
    return 0;
}
