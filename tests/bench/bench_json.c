/* How fast documents are read: flo_json_parse next to jansson's own reader.
 *
 *     bench_json ROUNDS FILE...
 *
 * Both read each file in turns, ROUNDS times, and only the processor's time
 * counts.  A line per file: bytes, documents a second of either (the median
 * round), and the ratio.  Files that are no document are named and left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <flotilla/base.h>

#include "base/host/json.h"

enum { ROUNDS_MAX = 1001, BYTES_A_ROUND = 1 << 20, BYTES_MAX = 1 << 20 };

static char text[BYTES_MAX];

static bool read_own(size_t bytes)
{
    json_t *json = NULL;

    if (flo_json_parse(text, bytes, BYTES_MAX, &json, NULL) < 0) {
        return false;
    }
    json_decref(json);
    return true;
}

static bool read_jansson(size_t bytes)
{
    json_error_t why;
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);

    json_decref(json);
    return json != NULL;
}

static double cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Documents a second. */
static double measure(bool (*read)(size_t), size_t bytes)
{
    size_t times = 1 + BYTES_A_ROUND / (bytes + 1);
    double begin = cpu_s();

    for (size_t i = 0; i < times; i++) {
        if (!read(bytes)) {
            exit(1);
        }
    }
    return (double)times / (cpu_s() - begin);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void bench(const char *name, size_t bytes, int rounds)
{
    static double own[ROUNDS_MAX], jansson[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        own[i] = measure(read_own, bytes);
        jansson[i] = measure(read_jansson, bytes);
    }
    qsort(own, (size_t)rounds, sizeof(*own), compare);
    qsort(jansson, (size_t)rounds, sizeof(*jansson), compare);
    printf("%-40s %7zu bytes: %8.0f documents/s, jansson alone %8.0f: "
           "%.2f times\n",
           name, bytes, own[rounds / 2], jansson[rounds / 2],
           own[rounds / 2] / jansson[rounds / 2]);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 0;

    if (argc < 3 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "bench_json ROUNDS FILE...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t bytes = file == NULL ? 0 : fread(text, 1, sizeof(text), file);

        if (file != NULL) {
            fclose(file);
        }
        if (!read_own(bytes)) {
            fprintf(stderr, "%s: no document\n", argv[i]);
            continue;
        }
        bench(argv[i], bytes, rounds);
    }
    return 0;
}
