/* Exposition: collects samples, and writes them as text for Prometheus. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/exposition/exposition.h"

const double flo_exposed_quantiles[FLO_EXPOSED_QUANTILES] = {0.5, 0.95, 0.99};

static const struct flo_exposed_fact facts[FLO_EXPOSED_COUNT] = {
#define FLO_EXPOSED(name, word, type, unit, labels, help)                                          \
    {word, FLO_EXPOSED_TYPE_##type, labels, help},
#include "server-stub/core/exposition/exposed.def"
#undef FLO_EXPOSED
};

const struct flo_exposed_fact *flo_exposed_fact(enum flo_exposed metric)
{
    assert(metric < FLO_EXPOSED_COUNT);
    return &facts[metric];
}

bool flo_exposed_parse(const char *word, enum flo_exposed *out)
{
    for (int i = 0; i < FLO_EXPOSED_COUNT; i++) {
        if (strcmp(facts[i].word, word) == 0) {
            *out = (enum flo_exposed)i;
            return true;
        }
    }
    return false;
}

/* ---- samples ---- */

void flo_samples_deinit(struct flo_samples *samples)
{
    flo_buf_deinit(&samples->items);
    flo_buf_deinit(&samples->pool);
}

static void add_escaped(struct flo_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            flo_buf_text(out, "\\n");
            continue;
        }
        if (*text == '"' || *text == '\\') {
            flo_buf_text(out, "\\");
        }
        flo_buf_add(out, text, 1);
    }
}

/* Adds the text of the labels to the pool and returns its offset there.  Offset
 * 0 has the empty text. */
static uint32_t add_labels(struct flo_samples *samples, enum flo_exposed metric,
                           const char *const *values)
{
    const char *name = facts[metric].labels;
    struct flo_buf *pool = &samples->pool;

    if (pool->bytes == 0) {
        flo_buf_add(pool, "", 1);
    }
    if (name[0] == '\0') {
        return 0;
    }
    uint32_t place = (uint32_t)pool->bytes;
    for (size_t i = 0; *name != '\0'; i++) {
        size_t bytes = strcspn(name, " ");
        flo_buf_text(pool, i > 0 ? "," : "");
        flo_buf_add(pool, name, bytes);
        flo_buf_text(pool, "=\"");
        add_escaped(pool, values[i]);
        flo_buf_text(pool, "\"");
        name += bytes + (name[bytes] == ' ' ? 1 : 0);
    }
    flo_buf_add(pool, "", 1);
    return place;
}

static void add(struct flo_samples *samples, enum flo_exposed metric, int part, uint32_t labels,
                double value)
{
    struct flo_exposed_sample sample = {
        .value = value, .labels = labels, .metric = (uint16_t)metric, .part = (uint8_t)part};

    flo_buf_add(&samples->items, &sample, sizeof(sample));
}

void flo_samples_add(struct flo_samples *samples, enum flo_exposed metric,
                     const char *const *labels, double value)
{
    assert(facts[metric].type != FLO_EXPOSED_TYPE_SUMMARY);
    add(samples, metric, FLO_PART_VALUE, add_labels(samples, metric, labels), value);
}

void flo_samples_add_summary(struct flo_samples *samples, enum flo_exposed metric,
                             const char *const *labels, const struct flo_summary *summary)
{
    uint32_t place = add_labels(samples, metric, labels);

    assert(facts[metric].type == FLO_EXPOSED_TYPE_SUMMARY);
    for (int i = 0; i < FLO_EXPOSED_QUANTILES; i++) {
        add(samples, metric, i, place,
            summary->has_quantiles ? summary->quantiles[i] : (double)NAN);
    }
    add(samples, metric, FLO_PART_SUM, place, summary->sum);
    add(samples, metric, FLO_PART_COUNT, place, summary->count);
}

size_t flo_samples_count(const struct flo_samples *samples)
{
    return samples->items.bytes / sizeof(struct flo_exposed_sample);
}

const struct flo_exposed_sample *flo_samples_at(const struct flo_samples *samples, size_t index)
{
    const void *items = samples->items.data;

    assert(index < flo_samples_count(samples));
    return (const struct flo_exposed_sample *)items + index;
}

const char *flo_samples_labels(const struct flo_samples *samples,
                               const struct flo_exposed_sample *sample)
{
    return samples->pool.data + sample->labels;
}

bool flo_samples_failed(const struct flo_samples *samples)
{
    return samples->items.failed || samples->pool.failed;
}

/* ---- text ---- */

static void add_number(struct flo_buf *out, double value)
{
    if (isnan(value)) {
        flo_buf_text(out, "NaN\n");
    } else if (value == floor(value) && fabs(value) < 9e15) {
        flo_buf_printf(out, "%.0f\n", value);
    } else {
        flo_buf_printf(out, "%.9g\n", value);
    }
}

static void add_sample(const struct flo_samples *samples, const struct flo_exposed_sample *sample,
                       struct flo_buf *out)
{
    static const char *const endings[] = {
        [FLO_PART_SUM] = "_sum", [FLO_PART_COUNT] = "_count", [FLO_PART_VALUE] = ""};
    const char *labels = flo_samples_labels(samples, sample);
    bool is_quantile = sample->part < FLO_EXPOSED_QUANTILES;

    flo_buf_text(out, facts[sample->metric].word);
    flo_buf_text(out, is_quantile ? "" : endings[sample->part]);
    if (labels[0] != '\0' || is_quantile) {
        flo_buf_text(out, "{");
        flo_buf_text(out, labels);
        if (is_quantile) {
            flo_buf_printf(out, "%squantile=\"%g\"", labels[0] != '\0' ? "," : "",
                           flo_exposed_quantiles[sample->part]);
        }
        flo_buf_text(out, "}");
    }
    flo_buf_text(out, " ");
    add_number(out, sample->value);
}

void flo_exposition_text(const struct flo_samples *samples, struct flo_buf *out)
{
    static const char *const types[] = {"gauge", "counter", "summary"};
    size_t count = flo_samples_count(samples);

    for (int metric = 0; metric < FLO_EXPOSED_COUNT; metric++) {
        bool has_head = false;
        for (size_t i = 0; i < count; i++) {
            const struct flo_exposed_sample *sample = flo_samples_at(samples, i);
            if (sample->metric != metric) {
                continue;
            }
            if (!has_head) {
                has_head = true;
                flo_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", facts[metric].word,
                               facts[metric].help, facts[metric].word, types[facts[metric].type]);
            }
            add_sample(samples, sample, out);
        }
    }
}
