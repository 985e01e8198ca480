/* Tables: access to the rows of proto's .def files. */
#include <string.h>

#include <flotilla/proto.h>

struct execution_fact {
    const char *word;
    enum flo_execution_kind kind;
};
static const struct execution_fact executions[] = {
#define FLO_EXECUTION(name, word, kind, meaning) {word, FLO_EXECUTION_##kind},
#include "proto/execution.def"
#undef FLO_EXECUTION
};

static const struct flo_order_fact orders[] = {
#define SIGNER_ORDER false
#define SIGNER_EMERGENCY true
#define FLO_ORDER(name, word, subject, rank, signer, meaning)                                      \
    {word, FLO_ORDER_SUBJECT_##subject, rank, SIGNER_##signer},
#include "proto/orders.def"
};

static const struct flo_metric_fact metrics[] = {
#define FLO_METRIC(name, word, kind, unit, least, meaning)                                         \
    {word, FLO_METRIC_##kind, unit, least, meaning},
#include "proto/metrics.def"
#undef FLO_METRIC
};
_Static_assert(FLO_COUNT(metrics) <= FLO_METRICS_MAX, "room in structs");

static const char *const codecs[] = {"raw", "zstd", "bsdiff40", "tensor1", "adapter"};
_Static_assert(FLO_COUNT(codecs) == FLO_CODEC_COUNT, "a word per codec");

const char *flo_execution_word(enum flo_execution state)
{
    return executions[state].word;
}

enum flo_execution_kind flo_execution_kind(enum flo_execution state)
{
    return executions[state].kind;
}

bool flo_execution_is_end(enum flo_execution state)
{
    return executions[state].kind != FLO_EXECUTION_WAY;
}

bool flo_execution_parse(const char *word, enum flo_execution *out)
{
    for (size_t i = 0; i < FLO_COUNT(executions); i++) {
        if (strcmp(executions[i].word, word) == 0) {
            *out = (enum flo_execution)i;
            return true;
        }
    }
    return false;
}

const char *flo_order_op_word(enum flo_order_op op)
{
    return orders[op].word;
}

const struct flo_order_fact *flo_order_fact(enum flo_order_op op)
{
    return &orders[op];
}

bool flo_order_op_parse(const char *word, enum flo_order_op *out)
{
    for (size_t i = 0; i < FLO_COUNT(orders); i++) {
        if (strcmp(orders[i].word, word) == 0) {
            *out = (enum flo_order_op)i;
            return true;
        }
    }
    return false;
}

const struct flo_metric_fact *flo_metric_fact(int metric)
{
    return &metrics[metric];
}

bool flo_metric_parse(const char *word, int *out)
{
    for (size_t i = 0; i < FLO_COUNT(metrics); i++) {
        if (strcmp(metrics[i].word, word) == 0) {
            *out = (int)i;
            return true;
        }
    }
    return false;
}

const char *flo_codec_word(enum flo_codec codec)
{
    return codecs[codec];
}

bool flo_codec_parse(const char *word, enum flo_codec *out)
{
    for (size_t i = 0; i < FLO_COUNT(codecs); i++) {
        if (strcmp(codecs[i], word) == 0) {
            *out = (enum flo_codec)i;
            return true;
        }
    }
    return false;
}
