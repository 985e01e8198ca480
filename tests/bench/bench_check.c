/* The cost of checking a runtime's answer against its schema.
 *
 *     bench_check [PROPERTIES [ANSWER_BYTES]]
 *
 * The schema has that many properties (30): texts with a limit, whole numbers
 * with limits, lists, values of an enum and texts with a pattern in turns.  The
 * answer has all of them and that many bytes (4096).  A line without patterns
 * and one with them: microseconds of the processor for accepting the schema and
 * for checking the answer, each the median of 101 turns. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <flotilla/base.h>

#include "engine/grammar/form/form.h"

enum { TURNS = 101, TIMES = 20, KINDS = 5 };

static const char *const schemas[KINDS] = {
    "{\"type\":\"string\",\"maxLength\":4000}",
    "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\"},\"maxItems\":8}",
    "{\"enum\":[\"low\",\"middle\",\"high\"]}",
    "{\"type\":\"string\",\"pattern\":\"^[a-z]+(-[0-9]+)*$\"}",
};
static const char *const values[KINDS] = {"", "512", "[1,2.5,-3e2,4]", "\"high\"", "\"pump-4-17\""};

/* Texts fill the answer up to its size. */
static void write_both(unsigned count, unsigned kinds, size_t bytes, struct flo_buf *schema,
                       struct flo_buf *answer)
{
    size_t fill = bytes / (count / kinds + 1);

    flo_buf_text(schema, "{\"type\":\"object\",\"properties\":{");
    for (unsigned i = 0; i < count; i++) {
        const char *value = values[i % kinds];
        flo_buf_printf(schema, "%s\"property-%u\":%s", i > 0 ? "," : "", i, schemas[i % kinds]);
        flo_buf_printf(answer, "%s\"property-%u\": %s", i > 0 ? ", " : "{", i, value);
        if (value[0] == '\0') {
            flo_buf_text(answer, "\"");
            for (size_t k = 0; k + 120 < fill; k += 8) {
                flo_buf_text(answer, "reading ");
            }
            flo_buf_text(answer, "\"");
        }
    }
    flo_buf_text(schema, "},\"required\":[\"property-0\"],\"additionalProperties\":false}");
    while (answer->bytes + 1 < bytes) {
        flo_buf_text(answer, " ");
    }
    flo_buf_text(answer, "}");
}

/* Microseconds of the processor. */
static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Microseconds of one call; the schema is accepted without an answer. */
static int measure(const struct flo_buf *schema, const struct flo_buf *answer, double *out_us,
                   struct flo_err *err)
{
    double turns_us[TURNS];

    for (int turn = 0; turn < TURNS; turn++) {
        double begin_us = cpu_us();
        for (int i = 0; i < TIMES; i++) {
            FLO_TRY(answer == NULL ? flo_form_accept(schema->data, schema->bytes, err)
                                   : flo_form_check(schema->data, schema->bytes, answer->data,
                                                    answer->bytes, err));
        }
        turns_us[turn] = (cpu_us() - begin_us) / TIMES;
    }
    qsort(turns_us, TURNS, sizeof(turns_us[0]), by_size);
    *out_us = turns_us[TURNS / 2];
    return 0;
}

/* Measures with so many kinds of properties. */
static int tell(const char *what, unsigned count, unsigned kinds, size_t bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf schema = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf answer = {0};
    double accept_us, check_us;

    write_both(count, kinds, bytes, &schema, &answer);
    FLO_TRY(measure(&schema, NULL, &accept_us, err));
    FLO_TRY(measure(&schema, &answer, &check_us, err));
    printf("%s patterns: schema of %zu bytes %.0f us, answer of %zu bytes %.0f us\n", what,
           schema.bytes, accept_us, answer.bytes, check_us);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 30;
    size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 4096;
    struct flo_err err = {0};

    return tell("without", count, KINDS - 1, bytes, &err) < 0 ||
                   tell("with", count, KINDS, bytes, &err) < 0
               ? (int)flo_err_print(stderr, &err)
               : 0;
}
