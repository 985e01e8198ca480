/* Exposition: metrics of the controller, as samples and as Prometheus' text.
 *
 * Collectors add samples in any order; the text has them in the order of
 * exposed.def.  Alert rules read the same samples.  Pure. */
#ifndef FLOTILLA_SERVER_EXPOSITION_H
#define FLOTILLA_SERVER_EXPOSITION_H

#include <flotilla/base.h>

enum flo_exposed {
#define FLO_EXPOSED(name, ...) FLO_EXPOSED_##name,
#include "server-stub/core/exposition/exposed.def"
#undef FLO_EXPOSED
    FLO_EXPOSED_COUNT
};
enum flo_exposed_type {
    FLO_EXPOSED_TYPE_GAUGE,
    FLO_EXPOSED_TYPE_COUNTER,
    FLO_EXPOSED_TYPE_SUMMARY
};
struct flo_exposed_fact {
    const char *word;
    enum flo_exposed_type type;
    const char *labels; /* apart by blanks */
    const char *help;
};
const struct flo_exposed_fact *flo_exposed_fact(enum flo_exposed metric);
bool flo_exposed_parse(const char *word, enum flo_exposed *out);

/* Number of quantiles of a summary. */
#define FLO_EXPOSED_QUANTILES 3
extern const double flo_exposed_quantiles[FLO_EXPOSED_QUANTILES];

/* Values of `part`.  A value below FLO_EXPOSED_QUANTILES is the index of a
 * summary's quantile.  The others stand for a summary's sum, its count, and a
 * plain value. */
enum { FLO_PART_SUM = FLO_EXPOSED_QUANTILES, FLO_PART_COUNT, FLO_PART_VALUE };
struct flo_exposed_sample {
    double value;
    uint32_t labels; /* offset in `pool` of the text a="b",c="d", or of "" */
    uint16_t metric; /* enum flo_exposed */
    uint8_t part;
};
/* Zero-initialise. */
struct flo_samples {
    struct flo_buf items; /* array of struct flo_exposed_sample */
    struct flo_buf pool;  /* texts */
};
void flo_samples_deinit(struct flo_samples *samples);
/* Adds a value.  `labels` has the values of the row's labels in their order;
 * NULL: the row has none.  Quotes, backslashes and line ends are escaped. */
void flo_samples_add(struct flo_samples *samples, enum flo_exposed metric,
                     const char *const *labels, double value);
struct flo_summary {
    double quantiles[FLO_EXPOSED_QUANTILES];
    bool has_quantiles; /* values arrived within the last minutes, so there are quantiles */
    double sum;
    double count;
};
void flo_samples_add_summary(struct flo_samples *samples, enum flo_exposed metric,
                             const char *const *labels, const struct flo_summary *summary);
size_t flo_samples_count(const struct flo_samples *samples);
const struct flo_exposed_sample *flo_samples_at(const struct flo_samples *samples, size_t index);
const char *flo_samples_labels(const struct flo_samples *samples,
                               const struct flo_exposed_sample *sample);
bool flo_samples_failed(const struct flo_samples *samples); /* no memory */

/* Appends all samples as Prometheus' text, format 0.0.4.  A metric without a
 * sample is left out. */
void flo_exposition_text(const struct flo_samples *samples, struct flo_buf *out);

#endif
