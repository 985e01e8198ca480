/* Policies: sets defaults, checks bounds, reads and writes them, all from
 * policy.def. */
#include "proto/policy.h"

#define FLO_POLICY_DAY_MS (UINT64_C(24) * 3600 * 1000)
#define FLO_POLICY_MONTH_MS (30 * FLO_POLICY_DAY_MS)
#define FLO_POLICY_TERABYTE (UINT64_C(1) << 40)

const char flo_policy_names[] = ""
#define FLO_POLICY(name, kind, min, max, start, unit, meaning) #name " "
#include "proto/policy.def"
    ;

void flo_policy_default(struct flo_policy *out)
{
    *out = (struct flo_policy){
#define FLO_POLICY(name, kind, min, max, start, unit, meaning) .name = (start),
#include "proto/policy.def"
    };
}

/* Tells whether a value is within its bounds, which are inclusive. */
static bool is_within_WHOLE(uint64_t value, uint64_t min, uint64_t max)
{
    return value >= min && value <= max;
}

static bool is_within_REAL(double value, double min, double max)
{
    return value >= min && value <= max;
}

bool flo_policy_is_valid(const struct flo_policy *policy)
{
    return true
#define FLO_POLICY(name, kind, min, max, start, unit, meaning)                                     \
    &&is_within_##kind(policy->name, min, max)
#include "proto/policy.def"
        ;
}

int flo_policy_read(const json_t *json, struct flo_policy *out, struct flo_err *err)
{
    int rv = 0;

    if (json == NULL) {
        return 0;
    }
#define READ_WHOLE flo_json_opt_u64
#define READ_REAL flo_json_opt_real
#define FLO_POLICY(name, kind, min, max, start, unit, meaning)                                     \
    if (rv == 0) {                                                                                 \
        rv = READ_##kind(json, #name, min, max, out->name, &out->name, err);                       \
    }
#include "proto/policy.def"
    return rv < 0 ? flo_wrap(err, rv, "policy") : 0;
}

json_t *flo_policy_json(const struct flo_policy *policy)
{
    json_t *json = json_object();
    bool is_whole = json != NULL;

#define JSON_WHOLE(value) json_integer((json_int_t)(value))
#define JSON_REAL(value) json_real(value)
#define FLO_POLICY(name, kind, min, max, start, unit, meaning)                                     \
    is_whole = is_whole && json_object_set_new(json, #name, JSON_##kind(policy->name)) == 0;
#include "proto/policy.def"
    if (!is_whole) {
        json_decref(json);
        return NULL;
    }
    return json;
}
