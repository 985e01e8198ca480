/* Condition: decides a device's condition; conditions.def has words and
 * ranks. */
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/core/device/condition.h"

static const struct {
    const char *word;
    int rank;
} facts[] = {
#define FLO_CONDITION(name, word, rank, ...) {word, rank},
#include "server-stub/core/device/conditions.def"
#undef FLO_CONDITION
};

const char *flo_condition_word(enum flo_condition condition)
{
    return facts[condition].word;
}

bool flo_condition_parse(const char *word, enum flo_condition *out)
{
    for (size_t i = 0; i < FLO_CONDITION_COUNT; i++) {
        if (strcmp(facts[i].word, word) == 0) {
            *out = (enum flo_condition)i;
            return true;
        }
    }
    return false;
}

int flo_condition_compare(const char *word, const char *other)
{
    enum flo_condition a = FLO_CONDITION_OK;
    enum flo_condition b = FLO_CONDITION_OK;

    (void)flo_condition_parse(word, &a);
    (void)flo_condition_parse(other, &b);
    return facts[a].rank - facts[b].rank;
}

static bool is_one_of(const char *word_or_null, const char *a, const char *b)
{
    return word_or_null != NULL && (strcmp(word_or_null, a) == 0 || strcmp(word_or_null, b) == 0);
}

enum flo_condition flo_condition_of_model(const struct flo_condition_model *model)
{
    enum flo_execution execution;
    bool is_known = model->execution != NULL && flo_execution_parse(model->execution, &execution);
    bool is_under_way = is_known && flo_execution_kind(execution) == FLO_EXECUTION_WAY;
    bool has_failed = is_known && flo_execution_kind(execution) == FLO_EXECUTION_END_BAD;

    if (is_one_of(model->state, "removed", "removed")) {
        return FLO_CONDITION_OK;
    }
    if (model->serves ? is_one_of(model->state, "down", "failed") : has_failed) {
        return FLO_CONDITION_FAILED;
    }
    /* No release of the model can serve yet, so the device updates and does not
     * deviate from its assigned release. */
    if (is_under_way && !model->serves) {
        return FLO_CONDITION_UPDATING;
    }
    return model->drifts && !model->is_let_go ? FLO_CONDITION_DRIFT
           : is_under_way                     ? FLO_CONDITION_UPDATING
                                              : FLO_CONDITION_OK;
}

enum flo_condition flo_condition_decide(bool is_retired, bool in_maintenance, bool is_online,
                                        enum flo_condition said)
{
    enum flo_condition own = is_retired       ? FLO_CONDITION_RETIRED
                             : in_maintenance ? FLO_CONDITION_MAINTENANCE
                             : !is_online     ? FLO_CONDITION_OFFLINE
                                              : FLO_CONDITION_OK;

    return own < said ? own : said;
}
