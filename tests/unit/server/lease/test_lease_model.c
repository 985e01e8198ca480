/* Lease: every interleaving of two controllers and their database.
 *
 * A move is one of: a second passes; a controller takes its next step; the
 * database carries a question out; an answer arrives, or is lost; a question
 * whose answer was given up is carried out late, or never.  A controller that
 * makes no move is one that was stopped.  All states that such moves can reach
 * are visited.  In none do two controllers lead, or one that the database would
 * refuse.  Numbers of beats and epochs are kept by rank and times by age, so
 * the states are finite in number and time is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/base.h>

#include "server-stub/core/lease/lease.h"

#define NODES 2
#define NOW 100000
#define SECOND 1000
#define STATES_MAX (1u << 24)

/* Mistakes made on purpose, to see that the search finds them. */
enum fault { SOUND, TAKES_WITHOUT_LOOKING, IGNORES_ITS_CLOCK };

struct question {
    uint8_t what; /* FLO_LEASE_WAIT: none */
    bool is_done; /* the answer is on its way */
    bool is_changed;
    uint64_t epoch, beat; /* that it names */
    struct flo_lease_row row;
};
struct node {
    struct flo_lease lease;
    struct question asked;
};
struct world {
    struct flo_lease_row row;
    struct question late; /* given up, but not forgotten by the network */
    struct node nodes[NODES];
};

/* ---- one state, as few bytes ---- */

struct ranks {
    uint64_t values[16];
    size_t count;
};

static void note(struct ranks *ranks, uint64_t value)
{
    size_t i = 0;

    while (i < ranks->count && ranks->values[i] < value) {
        i++;
    }
    if (i < ranks->count && ranks->values[i] == value) {
        return;
    }
    memmove(&ranks->values[i + 1], &ranks->values[i], (ranks->count - i) * sizeof(value));
    ranks->values[i] = value;
    ranks->count++;
    assert_true(ranks->count < 16);
}

static uint64_t rank(const struct ranks *ranks, uint64_t value)
{
    uint64_t i = 0;

    while (ranks->values[i] != value) {
        i++;
    }
    return i;
}

/* An epoch of 0 has a meaning of its own. */
typedef void (*each_fn)(void *context, uint64_t *epoch, uint64_t *beat);
static void each_number(struct world *world, each_fn fn, void *context)
{
    fn(context, &world->row.epoch, &world->row.beat);
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &world->nodes[i];
        uint64_t none = 0;
        fn(context, &node->lease.row.epoch, &node->lease.row.beat);
        fn(context, &node->lease.epoch, &none);
        none = 0;
        fn(context, &node->asked.epoch, &node->asked.beat);
        fn(context, &node->asked.row.epoch, &node->asked.row.beat);
    }
    fn(context, &world->late.epoch, &world->late.beat);
}

struct both {
    struct ranks epochs, beats;
};

static void note_both(void *context, uint64_t *epoch, uint64_t *beat)
{
    struct both *both = context;

    note(&both->epochs, *epoch);
    note(&both->beats, *beat);
}

static void rank_both(void *context, uint64_t *epoch, uint64_t *beat)
{
    struct both *both = context;

    *epoch = rank(&both->epochs, *epoch);
    *beat = rank(&both->beats, *beat);
}

static void forget_time(uint64_t *at_ms, uint64_t age_max)
{
    if (NOW - *at_ms > age_max) {
        *at_ms = NOW - age_max;
    }
}

/* One question at a time may come late. */
static void give_up(struct world *world, const struct question *question)
{
    if (!question->is_done && question->what != FLO_LEASE_LOOK &&
        world->late.what == FLO_LEASE_WAIT) {
        world->late = *question;
    }
}

/* Two states that no controller could tell apart become the same. */
static void simplify(struct world *world)
{
    struct both both = {0};

    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &world->nodes[i];
        struct flo_lease *lease = &node->lease;
        if (lease->state == FLO_LEASE_ENDED) { /* it starts again */
            *lease = (struct flo_lease){.asked_ms = NOW - 9 * SECOND};
            give_up(world, &node->asked);
            node->asked = (struct question){0};
        }
        if (lease->state == FLO_LEASE_LEADER || !lease->has_seen) {
            lease->row = (struct flo_lease_row){0};
            lease->seen_ms = NOW;
        }
        if (lease->state != FLO_LEASE_LEADER) {
            lease->until_ms = NOW;
            lease->epoch = 0;
        } else if (lease->until_ms < NOW) {
            lease->until_ms = NOW;
        }
        forget_time(&lease->seen_ms, FLO_LEASE_MS);
        bool counts = lease->is_asking && lease->state != FLO_LEASE_FOLLOWER;
        forget_time(&lease->asked_ms, counts ? FLO_LEASE_MS : SECOND);
    }
    note(&both.epochs, 0);
    note(&both.beats, 0);
    for (size_t i = 0; i < NODES; i++) { /* that a claim would lead to */
        if (world->nodes[i].lease.state == FLO_LEASE_CANDIDATE) {
            note(&both.epochs, world->nodes[i].lease.row.epoch + 1);
        }
    }
    each_number(world, note_both, &both);
    each_number(world, rank_both, &both);
}

#define PACKED 48
struct packed {
    uint8_t bytes[PACKED];
};

static uint8_t *pack_row(uint8_t *to, const struct flo_lease_row *row)
{
    *to++ = (uint8_t)(row->epoch << 1 | row->is_held);
    *to++ = (uint8_t)row->beat;
    return to;
}

static uint8_t *pack_question(uint8_t *to, const struct question *question)
{
    *to++ = (uint8_t)(question->what << 2 | question->is_done << 1 | question->is_changed);
    *to++ = (uint8_t)question->epoch;
    *to++ = (uint8_t)question->beat;
    return pack_row(to, &question->row);
}

static struct packed pack(const struct world *world)
{
    struct packed out = {0};
    uint8_t *to = pack_row(out.bytes, &world->row);

    for (size_t i = 0; i < NODES; i++) {
        const struct flo_lease *lease = &world->nodes[i].lease;
        *to++ = (uint8_t)(lease->state << 2 | lease->is_asking << 1 | lease->has_seen);
        *to++ = (uint8_t)lease->epoch;
        to = pack_row(to, &lease->row);
        *to++ = (uint8_t)((NOW - lease->seen_ms) / SECOND);
        *to++ = (uint8_t)((NOW - lease->asked_ms) / SECOND);
        *to++ = (uint8_t)((lease->until_ms - NOW) / SECOND);
        to = pack_question(to, &world->nodes[i].asked);
    }
    to = pack_question(to, &world->late);
    assert_true(to <= out.bytes + PACKED);
    return out;
}

/* ---- states that were seen ---- */

struct states {
    uint32_t *table; /* number + 1 */
    struct world *worlds;
    struct packed *packed; /* of each */
    size_t count, room;
    size_t bad; /* number + 1 of the first one that breaks a rule */
};

static void keep(struct states *states, struct world world)
{
    simplify(&world);
    struct packed packed = pack(&world);
    uint32_t at = flo_crc32c(0, packed.bytes, PACKED) * 2654435761u;

    for (at %= STATES_MAX; states->table[at] != 0; at = (at + 1) % STATES_MAX) {
        const struct packed *other = &states->packed[states->table[at] - 1];
        if (memcmp(other, &packed, sizeof(packed)) == 0) {
            return;
        }
    }
    if (states->count == states->room) {
        states->room = 2 * states->room + 1024;
        states->worlds = realloc(states->worlds, states->room * sizeof(*states->worlds));
        states->packed = realloc(states->packed, states->room * sizeof(*states->packed));
        assert_true(states->worlds != NULL && states->packed != NULL);
    }
    assert_true(states->count < STATES_MAX / 2);
    states->packed[states->count] = packed;
    states->worlds[states->count++] = world;
    states->table[at] = (uint32_t)states->count;
}

/* ---- moves ---- */

static void carry_out(struct world *world, struct question *question, enum fault fault)
{
    struct flo_lease_row *row = &world->row;

    question->is_done = true;
    question->is_changed = false;
    if (question->what == FLO_LEASE_LOOK) {
        question->row = *row;
    } else if (question->what == FLO_LEASE_BEAT) {
        question->is_changed = row->epoch == question->epoch;
        row->beat += question->is_changed;
    } else if (question->what == FLO_LEASE_TAKE) {
        question->is_changed = fault == TAKES_WITHOUT_LOOKING ||
                               (row->epoch == question->epoch && row->beat == question->beat);
        row->epoch += question->is_changed;
        row->beat += question->is_changed;
        row->is_held = row->is_held || question->is_changed;
    }
}

static void answer(struct node *node)
{
    const struct question question = node->asked;

    node->asked = (struct question){0};
    if (question.what == FLO_LEASE_LOOK) {
        flo_lease_saw(&node->lease, &question.row, NOW);
    } else {
        flo_lease_changed(&node->lease, question.is_changed);
    }
}

static void step(struct states *states, struct world world, size_t i)
{
    struct node *node = &world.nodes[i];
    enum flo_lease_do what = flo_lease_next(&node->lease, NOW);

    if (what != FLO_LEASE_WAIT && what != FLO_LEASE_STOP) {
        node->asked = (struct question){.what = (uint8_t)what,
                                        .epoch = what == FLO_LEASE_TAKE   ? node->lease.row.epoch
                                                 : what == FLO_LEASE_BEAT ? node->lease.epoch
                                                                          : 0,
                                        .beat = what == FLO_LEASE_TAKE ? node->lease.row.beat : 0};
    }
    keep(states, world);
}

static void moves_of(struct states *states, const struct world *from, size_t i, enum fault fault)
{
    const struct node *node = &from->nodes[i];
    struct world world = *from;

    step(states, world, i);
    if (node->asked.what != FLO_LEASE_WAIT) {
        if (!node->asked.is_done) {
            world = *from;
            carry_out(&world, &world.nodes[i].asked, fault);
            keep(states, world);
        } else {
            world = *from;
            answer(&world.nodes[i]);
            keep(states, world);
        }
        world = *from; /* the connection is lost */
        give_up(&world, &node->asked);
        world.nodes[i].asked = (struct question){0};
        flo_lease_unanswered(&world.nodes[i].lease);
        keep(states, world);
    }
    if (node->lease.state == FLO_LEASE_LEADER && from->row.is_held &&
        from->row.epoch == node->lease.epoch) { /* it ends in good order */
        world = *from;
        world.row.is_held = false;
        world.row.beat++;
        world.nodes[i].lease.state = FLO_LEASE_ENDED;
        keep(states, world);
    }
}

static void come_late(struct states *states, const struct world *from, enum fault fault)
{
    struct world world = *from;

    if (from->late.what != FLO_LEASE_WAIT) {
        carry_out(&world, &world.late, fault);
        world.late = (struct question){0};
        keep(states, world);
        world = *from;
        world.late = (struct question){0};
        keep(states, world);
    }
}

static void pass_time(struct world *world)
{
    for (size_t i = 0; i < NODES; i++) {
        struct flo_lease *lease = &world->nodes[i].lease;
        lease->seen_ms -= SECOND;
        lease->asked_ms -= SECOND;
        lease->until_ms -= SECOND;
    }
}

/* ---- rules ---- */

static bool is_good(const struct world *world, enum fault fault)
{
    size_t leaders = 0;

    for (size_t i = 0; i < NODES; i++) {
        const struct flo_lease *lease = &world->nodes[i].lease;
        bool leads = fault == IGNORES_ITS_CLOCK ? lease->state == FLO_LEASE_LEADER
                                                : flo_lease_leads(lease, NOW);
        leaders += leads;
        if (leads && lease->epoch != world->row.epoch) {
            return false;
        }
    }
    return leaders <= 1;
}

static struct states search(enum fault fault)
{
    struct states states = {.table = calloc(STATES_MAX, sizeof(uint32_t))};
    struct world first = {.row = {0}};

    assert_non_null(states.table);
    for (size_t i = 0; i < NODES; i++) {
        first.nodes[i].lease.asked_ms = NOW - 9 * SECOND;
        first.nodes[i].lease.seen_ms = NOW;
    }
    keep(&states, first);
    for (size_t i = 0; i < states.count && states.bad == 0; i++) {
        struct world from = states.worlds[i];
        if (!is_good(&from, fault)) {
            states.bad = i + 1;
        }
        for (size_t j = 0; j < NODES; j++) {
            moves_of(&states, &from, j, fault);
        }
        come_late(&states, &from, fault);
        pass_time(&from);
        keep(&states, from);
    }
    return states;
}

static void end(struct states *states)
{
    free(states->table);
    free(states->worlds);
    free(states->packed);
}

static void two_never_lead_in_any_order_of_events(void **state)
{
    struct states states = search(SOUND);
    size_t led = 0;

    (void)state;
    for (size_t i = 0; i < states.count; i++) {
        led += flo_lease_leads(&states.worlds[i].nodes[1].lease, NOW);
    }
    print_message("%zu states, the second controller leads in %zu\n", states.count, led);
    assert_int_equal(states.bad, 0);
    assert_true(led > 1000);
    end(&states);
}

static void a_claim_without_its_condition_is_found(void **state)
{
    struct states states = search(TAKES_WITHOUT_LOOKING);

    (void)state;
    assert_int_not_equal(states.bad, 0);
    end(&states);
}

static void a_leader_that_ignores_its_clock_is_found(void **state)
{
    struct states states = search(IGNORES_ITS_CLOCK);

    (void)state;
    assert_int_not_equal(states.bad, 0);
    end(&states);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_never_lead_in_any_order_of_events),
        cmocka_unit_test(a_claim_without_its_condition_is_found),
        cmocka_unit_test(a_leader_that_ignores_its_clock_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
