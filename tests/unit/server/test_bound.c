/* The bound of buckets below which so many members lie, against counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/rollout/parts.h"

#define MEMBERS 60

static bool is_online(const struct flo_rollout_member *member)
{
    return member->is_online;
}

static uint32_t count_below(const struct flo_rollout *rollout, uint32_t from, uint64_t to)
{
    uint32_t count = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        count += is_online(member) && member->bucket >= from && member->bucket < to;
    }
    return count;
}

static void assert_bound(const struct flo_rollout *rollout, uint32_t from, uint32_t to,
                         uint32_t devices)
{
    uint32_t bound = flo_rollout_bound(rollout, from, to, devices, is_online);

    assert_in_range(bound, from, to);
    if (devices > count_below(rollout, from, to)) {
        assert_int_equal(bound, to);
        return;
    }
    assert_true(count_below(rollout, from, bound) >= devices);
    assert_true(bound == from || count_below(rollout, from, bound - 1) < devices);
}

/* Buckets that stand together, at both ends, and where a digit changes. */
static uint32_t bucket_of(uint32_t number)
{
    static const uint32_t at[] = {0, 1023, 1u << 20, 999999999, 500000000};

    return number < 40 ? at[number % FLO_COUNT(at)] - (number > 4 ? number : 0)
                       : number * 16180339u;
}

static void a_bound_has_just_so_many_below_it(void **state)
{
    static struct flo_rollout_member members[MEMBERS];
    static struct flo_rollout rollout = {.members = members, .member_count = MEMBERS};
    static const uint32_t ends[] = {0, 1, 1023, 1024, 1u << 20, 999999999, FLO_BUCKETS, 499999999};
    (void)state;

    for (uint32_t i = 0; i < MEMBERS; i++) {
        members[i].bucket = bucket_of(i) % FLO_BUCKETS;
        members[i].is_online = i % 3 != 0;
    }
    members[1].bucket = members[2].bucket;
    for (size_t a = 0; a < FLO_COUNT(ends); a++) {
        for (size_t b = 0; b < FLO_COUNT(ends); b++) {
            for (uint32_t devices = 0; devices <= MEMBERS; devices++) {
                if (ends[a] <= ends[b]) {
                    assert_bound(&rollout, ends[a], ends[b], devices);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_has_just_so_many_below_it),
    };

    return cmocka_run_group_tests_name("bound", tests, NULL, NULL);
}
