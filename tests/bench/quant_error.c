/* How far quantized weights lie from the floats they were made from.
 *
 * usage: quant_error FLOATS.gguf QUANTIZED.gguf...
 * For each file the rms of the differences over the rms of the floats, of all
 * matrices that are quantized in it, in percent. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"

struct sums {
    double error, size;
};

static float *decoded(const struct flo_gguf *gguf,
                      const struct flo_gguf_tensor *tensor)
{
    float *values = malloc(tensor->values * sizeof(*values));

    if (values != NULL) {
        flo_quant_type(tensor->type)
            ->decode(flo_gguf_tensor_data(gguf, tensor), values,
                     tensor->values);
    }
    return values;
}

static void add_tensor(const struct flo_gguf *floats,
                       const struct flo_gguf *other,
                       const struct flo_gguf_tensor *tensor, struct sums *sums)
{
    const struct flo_gguf_tensor *source =
        flo_gguf_tensor_find(floats, tensor->name);
    float *want, *got;

    if (source == NULL || source->values != tensor->values ||
        flo_quant_type(tensor->type)->block_values == 1) {
        return;
    }
    want = decoded(floats, source);
    got = decoded(other, tensor);
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
    struct flo_err err = {0};
    struct flo_gguf *floats, *other;

    if (argc < 3 || flo_gguf_open_path(argv[1], &floats, &err) < 0) {
        fprintf(stderr, "usage: quant_error FLOATS.gguf QUANTIZED.gguf...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        struct sums sums = {0};

        if (flo_gguf_open_path(argv[i], &other, &err) < 0) {
            fprintf(stderr, "%s cannot be read\n", argv[i]);
            return 1;
        }
        for (size_t t = 0; t < flo_gguf_tensor_count(other); t++) {
            add_tensor(floats, other, flo_gguf_tensor_at(other, t), &sums);
        }
        printf("%.4f %s\n", 100 * sqrt(sums.error / sums.size), argv[i]);
        flo_gguf_close(other);
    }
    flo_gguf_close(floats);
    return 0;
}
