/* Membership: finds the first reason why a device is no member. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/member/member.h"

struct excuse {
    const char *word, *meaning, *fix;
};
static const struct excuse excuses[FLO_EXCUSE_COUNT] = {
    {"", "", ""},
#define FLO_EXCUSE(name, word, meaning, fix) {word, meaning, fix},
#include "server-stub/core/member/excuses.def"
#undef FLO_EXCUSE
};

static const struct excuse *fact(enum flo_excuse excuse)
{
    assert(excuse > FLO_EXCUSE_NONE && excuse < FLO_EXCUSE_COUNT);
    return &excuses[excuse];
}

const char *flo_excuse_word(enum flo_excuse excuse)
{
    return fact(excuse)->word;
}

const char *flo_excuse_meaning(enum flo_excuse excuse)
{
    return fact(excuse)->meaning;
}

const char *flo_excuse_fix(enum flo_excuse excuse)
{
    return fact(excuse)->fix;
}

enum flo_excuse flo_member_excuse(const struct flo_member_facts *facts, const char *release)
{
    assert(facts->pin == NULL || release != NULL);
    return !facts->has_come                                         ? FLO_EXCUSE_NEVER_CAME
           : facts->is_in_maintenance                               ? FLO_EXCUSE_MAINTENANCE
           : facts->is_outranked                                    ? FLO_EXCUSE_OUTRANKED
           : facts->pin != NULL && strcmp(facts->pin, release) != 0 ? FLO_EXCUSE_PINNED
                                                                    : FLO_EXCUSE_NONE;
}
