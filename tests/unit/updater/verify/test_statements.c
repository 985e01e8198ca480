/* Statements: per subject the newest signed order holds, in whatever order,
 * how often, and with what losses a broker delivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/updater.h>

#define ORDERS_MAX 6
#define SETS 40

static struct flo_digest digest_of(uint64_t n)
{
    struct flo_digest digest = {{0}};

    digest.bytes[0] = (uint8_t)n;
    digest.bytes[1] = (uint8_t)(n >> 8);
    digest.bytes[31] = 1;
    return digest;
}

/* The body's digest differs wherever the order does. */
static struct flo_digest body_of(const struct flo_order *order)
{
    return digest_of(1000 + order->seq * 32 + (uint64_t)order->op * 2 + order->stay);
}

static struct flo_order order_of(enum flo_order_op op, uint64_t number)
{
    struct flo_order order = {
        .op = op, .seq = number, .epoch = 1, .issued_at_ms = 5000 - number, .model = "tiny"};

    snprintf(order.id, sizeof(order.id), "o-%04llu", (unsigned long long)number);
    return order;
}

static struct flo_order deploy_of(uint64_t number, uint64_t release)
{
    struct flo_order order = order_of(FLO_ORDER_DEPLOY, number);

    order.release = digest_of(release);
    order.number = release;
    snprintf(order.rollout, sizeof(order.rollout), "r-%04llu", (unsigned long long)release);
    return order;
}

static struct flo_order rollback_of(uint64_t number, uint64_t release)
{
    struct flo_order order = order_of(FLO_ORDER_ROLLBACK, number);

    order.from_count = 1;
    order.from[0] = digest_of(release);
    order.from_numbers[0] = release;
    order.to_previous = true;
    return order;
}

static struct flo_order rollout_order(enum flo_order_op op, uint64_t number, unsigned rollout)
{
    struct flo_order order = order_of(op, number);

    snprintf(order.rollout, sizeof(order.rollout), "r-%04u", rollout);
    return order;
}

static struct flo_order prompts_of(uint64_t number, bool stay)
{
    struct flo_order order = order_of(FLO_ORDER_PROMPTS, number);

    order.stay = stay;
    return order;
}

static struct flo_order emergency(struct flo_order order)
{
    order.is_emergency = true;
    order.id[0] = 'e';
    return order;
}

struct records {
    struct flo_device device;
    struct flo_slots slots;
};

static struct records fresh(void)
{
    struct records records = {.device = {.epoch = 1}};

    strcpy(records.slots.model, "tiny");
    return records;
}

static enum flo_standing tell(struct records *records, const struct flo_order *order)
{
    struct flo_digest body = body_of(order);
    enum flo_standing standing;
    uint64_t by;

    assert_int_equal(
        flo_statement_look(&records->device, &records->slots, order, &body, &standing, &by, NULL),
        0);
    (void)flo_statement_keep(&records->device, &records->slots, order, &body);
    return standing;
}

/* ---- the property ---- */

/* Where a rollout stands in the list is no matter. */
static int by_rollout(const void *a, const void *b)
{
    return strcmp(((const struct flo_pause *)a)->rollout, ((const struct flo_pause *)b)->rollout);
}

/* Bytes between the members of a denial may be anything. */
static void settle_denial(struct flo_denial *denial)
{
    struct flo_denial was = *denial;

    memset(denial, 0, sizeof(*denial));
    denial->release = was.release;
    denial->number = was.number;
    denial->statement = was.statement;
    denial->cause = was.cause;
    denial->lane = was.lane;
}

static void settle(struct records *records)
{
    for (size_t i = 0; i < FLO_COUNT(records->slots.denials); i++) {
        settle_denial(&records->slots.denials[i]);
    }
    qsort(records->device.pauses, FLO_PAUSES_MAX, sizeof(records->device.pauses[0]), by_rollout);
}

static uint64_t state_of_random;

static uint32_t roll(uint32_t below)
{
    state_of_random =
        state_of_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state_of_random >> 33) % below;
}

static struct flo_order random_order(uint64_t number)
{
    uint64_t release = 1 + roll(3);
    unsigned rollout = 1 + roll(2);
    struct flo_order order;

    switch (roll(14)) {
    case 0:
    case 1:
        return deploy_of(number, release);
    case 2:
        order = deploy_of(number, release);
        order.lift = number - 1;
        order.below_floor = roll(2) == 0;
        return order;
    case 3:
        order = rollback_of(number, release);
        order.to_previous = roll(2) == 0;
        order.to = digest_of(1 + roll(3));
        return order;
    case 4:
        return rollback_of(number, release);
    case 5:
        return order_of(roll(2) == 0 ? FLO_ORDER_FREEZE : FLO_ORDER_UNFREEZE, number);
    case 6:
        return rollout_order(FLO_ORDER_PAUSE, number, rollout);
    case 7:
        return rollout_order(roll(2) == 0 ? FLO_ORDER_RESUME : FLO_ORDER_ABORT, number, rollout);
    case 8:
        return emergency(rollback_of(number, release));
    case 9:
        order = emergency(rollback_of(number, release));
        order.op = FLO_ORDER_ALLOW;
        return order;
    case 10:
        return emergency(order_of(roll(2) == 0 ? FLO_ORDER_FREEZE : FLO_ORDER_UNFREEZE, number));
    case 11:
        return prompts_of(number, roll(2) == 0);
    case 12:
        return emergency(prompts_of(number, roll(2) == 0));
    default:
        order = order_of(FLO_ORDER_CONFIG, number);
        order.heartbeat_ms = 1000 * number;
        return order;
    }
}

struct walk {
    const struct flo_order *orders;
    size_t count;
    unsigned told;              /* bits: in this sequence */
    struct records reached[64]; /* by the set of orders that arrived */
    bool is_reached[64];
    unsigned sequences;
};

/* The same set of orders, whatever their order, leaves the same records; and
 * each told again changes nothing. */
static void compare(struct walk *walk, const struct records *records)
{
    struct records now = *records;

    settle(&now);
    if (!walk->is_reached[walk->told]) {
        walk->is_reached[walk->told] = true;
        walk->reached[walk->told] = now;
    }
    assert_memory_equal(&now, &walk->reached[walk->told], sizeof(now));
    for (size_t i = 0; i < walk->count; i++) {
        if ((walk->told & 1u << i) != 0) {
            struct records again = *records;
            assert_int_not_equal(tell(&again, &walk->orders[i]), FLO_STATEMENT_NEW);
            settle(&again);
            assert_memory_equal(&again, &now, sizeof(now));
            walk->sequences++;
        }
    }
    walk->sequences++;
}

static void go_on(struct walk *walk, const struct records *records)
{
    compare(walk, records);
    for (size_t i = 0; i < walk->count; i++) {
        if ((walk->told & 1u << i) == 0) {
            struct records next = *records;
            (void)tell(&next, &walk->orders[i]);
            walk->told |= 1u << i;
            go_on(walk, &next);
            walk->told &= ~(1u << i);
        }
    }
}

static void order_loss_and_repetition_of_six_orders_leave_the_same_records(void **state)
{
    static struct walk walk;
    struct flo_order orders[ORDERS_MAX];
    unsigned sequences = 0;

    (void)state;
    state_of_random = 16;
    for (unsigned set = 0; set < SETS; set++) {
        struct records records = fresh();
        memset(&walk, 0, sizeof(walk));
        for (size_t i = 0; i < ORDERS_MAX; i++) {
            orders[i] = random_order(100 + 7 * i);
        }
        walk.orders = orders;
        walk.count = ORDERS_MAX;
        go_on(&walk, &records);
        sequences += walk.sequences;
    }
    print_message("%u sequences of up to %d orders\n", sequences, ORDERS_MAX + 1);
    /* Sequences of 6 orders: 1,957, and 9,786 with one told again. */
    assert_int_equal(sequences, SETS * (1957 + 9786));
}

/* ---- stories ---- */

static void an_older_deploy_changes_nothing(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order older = deploy_of(104, 4);
    struct flo_order newer = deploy_of(105, 5);
    struct flo_digest want = digest_of(5);

    assert_int_equal(tell(&records, &newer), FLO_STATEMENT_NEW);
    assert_int_equal(tell(&records, &older), FLO_STATEMENT_SUPERSEDED);

    assert_true(flo_digest_equal(&records.slots.stated.target, &want));
    assert_int_equal(records.slots.stated.number, 105);
    assert_int_equal(tell(&records, &newer), FLO_STATEMENT_AGAIN);
}

static void an_older_unfreeze_lifts_no_newer_freeze(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order freeze = order_of(FLO_ORDER_FREEZE, 9);
    struct flo_order unfreeze = order_of(FLO_ORDER_UNFREEZE, 8);

    (void)tell(&records, &freeze);
    assert_int_equal(tell(&records, &unfreeze), FLO_STATEMENT_SUPERSEDED);

    assert_true(records.device.is_frozen);
}

static void an_older_order_lets_no_prompt_out(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order stay = prompts_of(9, true);
    struct flo_order older = prompts_of(8, false);
    struct flo_order go = prompts_of(10, false);

    assert_int_equal(tell(&records, &stay), FLO_STATEMENT_NEW);
    assert_int_equal(tell(&records, &older), FLO_STATEMENT_SUPERSEDED);
    assert_true(records.device.prompts_stay);
    assert_false(records.device.is_frozen);

    assert_int_equal(tell(&records, &go), FLO_STATEMENT_NEW);
    assert_false(records.device.prompts_stay);
}

static void an_older_rollback_denies_and_assigns_nothing(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order deploy = deploy_of(105, 5);
    struct flo_order rollback = rollback_of(104, 4);
    struct flo_digest want = digest_of(5);

    (void)tell(&records, &deploy);
    assert_int_equal(tell(&records, &rollback), FLO_STATEMENT_SUPERSEDED);

    assert_true(flo_digest_equal(&records.slots.stated.target, &want));
    assert_true(flo_slots_is_denied(&records.slots, &rollback.from[0], 0));
}

static void a_lift_holds_against_a_rollback_that_comes_late(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order rollback = rollback_of(104, 5);
    struct flo_order deploy = deploy_of(105, 5);

    deploy.lift = 104;
    (void)tell(&records, &deploy);
    (void)tell(&records, &rollback);

    assert_false(flo_slots_is_denied(&records.slots, &deploy.release, 0));
}

static void a_deploy_after_an_abort_of_its_rollout_is_aborted(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order deploy = deploy_of(104, 5);
    struct flo_order abort = rollout_order(FLO_ORDER_ABORT, 105, 5);

    (void)tell(&records, &abort);
    (void)tell(&records, &deploy);

    assert_int_equal(flo_device_rollout(&records.device, deploy.rollout, deploy.seq),
                     FLO_ROLLOUT_ABORTED_BY_ORDER);
    assert_int_equal(flo_device_rollout(&records.device, deploy.rollout, 106), FLO_ROLLOUT_RESUMED);
}

static int look(const struct records *records, const struct flo_order *order,
                const struct flo_digest *body)
{
    enum flo_standing standing;
    uint64_t by;

    return flo_statement_look(&records->device, &records->slots, order, body, &standing, &by, NULL);
}

static void a_number_that_another_order_has_is_refused(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order deploy = deploy_of(104, 5);
    struct flo_order pause = rollout_order(FLO_ORDER_PAUSE, 9, 1);
    struct flo_digest other = digest_of(77);

    (void)tell(&records, &deploy);
    assert_int_equal(look(&records, &deploy, &other), FLO_E_CMD_NONCE_REUSED);
    (void)tell(&records, &pause);
    pause.op = FLO_ORDER_RESUME;
    assert_int_equal(look(&records, &pause, &other), FLO_E_CMD_NONCE_REUSED);
}

static void no_number_ends_a_subject_at_once(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order freeze = order_of(FLO_ORDER_FREEZE, FLO_NUMBER_JUMP_MAX);
    struct flo_digest body = body_of(&freeze);

    assert_int_equal(look(&records, &freeze, &body), 0);
    freeze.seq++;
    assert_int_equal(look(&records, &freeze, &body), FLO_E_CMD_FORMAT);

    struct flo_order known = deploy_of(117, 4);
    struct flo_order last = deploy_of((UINT64_C(1) << 53) - 1, 5);
    struct flo_order next = deploy_of(118, 5);
    assert_int_equal(tell(&records, &known), FLO_STATEMENT_NEW);
    body = body_of(&last);
    assert_int_equal(look(&records, &last, &body), FLO_E_CMD_FORMAT);
    assert_int_equal(tell(&records, &next), FLO_STATEMENT_NEW);
}

static void of_an_older_epoch_nothing_is_taken(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order freeze = order_of(FLO_ORDER_FREEZE, 50);
    struct flo_order unfreeze = order_of(FLO_ORDER_UNFREEZE, 3);
    struct flo_digest body;

    freeze.epoch = 2;
    unfreeze.epoch = 2;
    (void)tell(&records, &freeze);
    assert_int_equal(records.device.era, 1);
    freeze.epoch = 1;
    freeze.seq = 99;
    body = body_of(&freeze);
    assert_int_equal(look(&records, &freeze, &body), FLO_E_CMD_EPOCH);
    const struct records before = records;
    struct flo_kept kept = flo_statement_keep(&records.device, &records.slots, &freeze, &body);
    assert_false(kept.device || kept.slots || kept.is_folded);
    assert_memory_equal(&before, &records, sizeof(before));

    unfreeze.epoch = 3; /* its numbers begin again */
    assert_int_equal(tell(&records, &unfreeze), FLO_STATEMENT_NEW);
    assert_false(records.device.is_frozen);
}

/* The model's record is written first: the power may fail before the device's,
 * or that one is damaged.  The broker brings the order again. */
static void an_era_that_only_the_model_knows_begins_once_more(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_device before = records.device;
    struct flo_order deploy = deploy_of(5, 6);
    struct flo_order older = deploy_of(4, 7);

    deploy.epoch = 2;
    older.epoch = 2;
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
    records.device = before;
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
    assert_int_equal(records.slots.stated.number, 5);
    assert_int_equal(records.device.top, 5);
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_AGAIN);

    records.device = before; /* ... or an older one first */
    assert_int_equal(tell(&records, &older), FLO_STATEMENT_NEW);
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
    assert_int_equal(records.slots.stated.number, 5);
}

/* Enrolled once more, each time as another device. */
static enum flo_trust_hold enrol(struct flo_device *device, const struct flo_digest *keys,
                                 uint8_t holder)
{
    const struct flo_trust_facts facts = {
        .number = 1, .epoch = 1, .order_keys = *keys, .holder = {holder}};

    return flo_device_trust(device, &facts);
}

static void other_order_keys_begin_an_era(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order freeze = order_of(FLO_ORDER_FREEZE, 50);
    struct flo_order rollback = rollback_of(51, 5);
    struct flo_order deploy = deploy_of(1, 6);
    struct flo_order pause = rollout_order(FLO_ORDER_PAUSE, 60, 1);
    struct flo_digest stolen = digest_of(1);
    struct flo_digest keys = digest_of(2);

    assert_int_equal(enrol(&records.device, &stolen, 1), FLO_TRUST_TAKEN);
    (void)tell(&records, &freeze);
    (void)tell(&records, &rollback);
    (void)tell(&records, &pause);
    assert_int_equal(enrol(&records.device, &stolen, 1), FLO_TRUST_HELD);
    assert_int_equal(enrol(&records.device, &keys, 2), FLO_TRUST_TAKEN);

    assert_true(records.device.is_frozen);
    assert_int_equal(records.device.trusted_time_ms, 0);
    assert_int_equal(flo_device_rollout(&records.device, "r-0001", 0),
                     FLO_ROLLOUT_RESUMED); /* another fleet's name */
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
    assert_true(flo_slots_is_denied(&records.slots, &rollback.from[0], 0));
}

/* ---- two lanes ---- */

static void no_lane_ends_the_others_freeze(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order stop = emergency(order_of(FLO_ORDER_FREEZE, 50));
    struct flo_order go = order_of(FLO_ORDER_UNFREEZE, 60);
    struct flo_order freeze = order_of(FLO_ORDER_FREEZE, 61);
    struct flo_order end = emergency(order_of(FLO_ORDER_UNFREEZE, 70));

    (void)tell(&records, &stop);
    assert_int_equal(tell(&records, &go), FLO_STATEMENT_NEW);
    assert_true(records.device.is_frozen_emergency);
    assert_false(records.device.is_frozen);
    (void)tell(&records, &freeze);
    assert_int_equal(tell(&records, &end), FLO_STATEMENT_NEW);
    assert_true(records.device.is_frozen);
    assert_false(records.device.is_frozen_emergency);
}

static void no_lane_lets_prompts_out_that_the_other_keeps(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order stop = emergency(prompts_of(50, true));
    struct flo_order go = prompts_of(60, false);
    struct flo_order stay = prompts_of(61, true);
    struct flo_order end = emergency(prompts_of(70, false));

    (void)tell(&records, &stop);
    assert_int_equal(tell(&records, &go), FLO_STATEMENT_NEW);
    assert_true(records.device.prompts_stay_emergency);
    assert_false(records.device.prompts_stay);
    (void)tell(&records, &stay);
    assert_int_equal(tell(&records, &end), FLO_STATEMENT_NEW);
    assert_true(records.device.prompts_stay);
    assert_false(records.device.prompts_stay_emergency);
}

static void an_emergency_number_leaves_the_order_lane_its_numbers(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order back = emergency(rollback_of(UINT64_C(1800000000000), 5));
    struct flo_order deploy = deploy_of(7, 6);

    assert_int_equal(tell(&records, &back), FLO_STATEMENT_NEW);
    assert_int_equal(records.device.top, 0);
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
    assert_int_equal(records.slots.stated.number, 7);
}

static void only_an_emergency_key_lifts_what_one_took_back(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order back = emergency(rollback_of(50, 5));
    struct flo_order deploy = deploy_of(105, 5);
    struct flo_order allow = emergency(rollback_of(51, 5));

    deploy.lift = 104;
    allow.op = FLO_ORDER_ALLOW;
    (void)tell(&records, &back);
    (void)tell(&records, &deploy);
    assert_true(flo_slots_is_denied(&records.slots, &deploy.release, 0));
    (void)tell(&records, &allow);
    assert_false(flo_slots_is_denied(&records.slots, &deploy.release, 0));
    assert_int_equal(tell(&records, &back), FLO_STATEMENT_SUPERSEDED);
    assert_false(flo_slots_is_denied(&records.slots, &deploy.release, 0));
}

/* ---- trusted keys ---- */

static struct flo_trust_facts statement(uint64_t number, uint32_t of_epoch)
{
    return (struct flo_trust_facts){.number = number,
                                    .document = digest_of(number),
                                    .order_keys = digest_of(of_epoch),
                                    .epoch = of_epoch,
                                    .has_emergency = true,
                                    .holder = {1}};
}

/* A device that has taken the list, statement 2 and some orders. */
static struct records enrolled(void)
{
    struct records records = fresh();
    struct flo_digest keys = digest_of(1);
    struct flo_trust_facts two = statement(2, 1);
    struct flo_order freeze = order_of(FLO_ORDER_FREEZE, 50);
    struct flo_order deploy = deploy_of(60, 5);
    struct flo_order stop = emergency(order_of(FLO_ORDER_FREEZE, 70));
    struct flo_order stay = prompts_of(61, true);
    struct flo_order keep = emergency(prompts_of(71, true));

    (void)enrol(&records.device, &keys, 1);
    assert_int_equal(flo_device_trust(&records.device, &two), FLO_TRUST_TAKEN);
    (void)tell(&records, &freeze);
    (void)tell(&records, &deploy);
    (void)tell(&records, &stop);
    (void)tell(&records, &stay);
    (void)tell(&records, &keep);
    records.device.trusted_time_ms = 9;
    return records;
}

static void a_record_of_another_enrolment_is_known_as_such(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_digest keys = digest_of(1);
    struct flo_trust_facts list = statement(1, 1);

    assert_false(flo_device_is_moved(&records.device, &list)); /* new, or damaged */
    (void)enrol(&records.device, &keys, 1);
    assert_false(flo_device_is_moved(&records.device, &list));
    (void)enrol(&records.device, &keys, 2);
    assert_true(flo_device_is_moved(&records.device, &list));
}

static void a_statement_of_the_same_epoch_keeps_all_numbers(void **state)
{
    (void)state;
    struct records records = enrolled();
    struct flo_trust_facts three = statement(3, 1);

    three.order_keys = digest_of(7); /* one more */
    assert_int_equal(flo_device_trust(&records.device, &three), FLO_TRUST_TAKEN);
    assert_int_equal(records.device.top, 61);
    assert_int_equal(records.device.freeze.number, 50);
    assert_int_equal(records.device.freeze_emergency.number, 70);
    assert_int_equal(records.device.prompts.number, 61);
    assert_int_equal(records.device.prompts_emergency.number, 71);
    assert_int_equal(records.device.trusted_time_ms, 9);
    assert_int_equal(records.device.trust_number, 3);
    assert_int_equal(flo_device_trust(&records.device, &three), FLO_TRUST_HELD);
}

static void a_later_epoch_begins_both_lanes_again_and_thaws_nothing(void **state)
{
    (void)state;
    struct records records = enrolled();
    struct flo_trust_facts three = statement(3, 2);
    struct flo_order deploy = deploy_of(1, 6);
    struct flo_order stop = emergency(order_of(FLO_ORDER_UNFREEZE, 2));
    struct flo_order go = prompts_of(2, false);
    struct flo_order end = emergency(prompts_of(3, false));

    assert_int_equal(flo_device_trust(&records.device, &three), FLO_TRUST_TAKEN);
    assert_int_equal(records.device.epoch, 2);
    assert_int_equal(records.device.top, 0);
    assert_int_equal(records.device.trusted_time_ms, 0);
    assert_true(records.device.is_frozen);
    assert_true(records.device.is_frozen_emergency);
    assert_true(records.device.prompts_stay);
    assert_true(records.device.prompts_stay_emergency);
    deploy.epoch = stop.epoch = go.epoch = end.epoch = 2;
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
    assert_int_equal(tell(&records, &stop), FLO_STATEMENT_NEW);
    assert_false(records.device.is_frozen_emergency);
    assert_int_equal(tell(&records, &go), FLO_STATEMENT_NEW);
    assert_int_equal(tell(&records, &end), FLO_STATEMENT_NEW);
    assert_false(records.device.prompts_stay || records.device.prompts_stay_emergency);
}

static void an_emergency_that_no_key_could_end_ends(void **state)
{
    (void)state;
    struct records records = enrolled();
    struct flo_trust_facts three = statement(3, 2);

    three.has_emergency = false;
    (void)flo_device_trust(&records.device, &three);
    assert_false(records.device.is_frozen_emergency);
    assert_true(records.device.is_frozen);
    assert_false(records.device.prompts_stay_emergency);
    assert_true(records.device.prompts_stay);
}

/* The file is older than the record, or another one: a copy that came back. */
static void a_file_behind_the_record_is_not_acted_on(void **state)
{
    (void)state;
    struct records records = enrolled();
    struct flo_trust_facts three = statement(3, 1);
    struct flo_trust_facts older = statement(2, 1);
    struct flo_trust_facts other = statement(3, 1);
    struct flo_trust_facts list = statement(1, 1);
    struct flo_device before;

    (void)flo_device_trust(&records.device, &three);
    before = records.device;
    other.document = digest_of(99);
    assert_int_equal(flo_device_trust(&records.device, &older), FLO_TRUST_BEHIND);
    assert_int_equal(flo_device_trust(&records.device, &other), FLO_TRUST_BEHIND);
    assert_int_equal(flo_device_trust(&records.device, &list), FLO_TRUST_BEHIND);
    assert_memory_equal(&before, &records.device, sizeof(before));
}

static void enrolling_again_takes_an_older_statement(void **state)
{
    (void)state;
    struct records records = enrolled();
    struct flo_trust_facts other = statement(1, 1);

    other.holder[0] = 2;
    assert_int_equal(flo_device_trust(&records.device, &other), FLO_TRUST_TAKEN);
    assert_int_equal(records.device.trust_number, 1);
    assert_int_equal(records.device.top, 61); /* the same order key */
}

static void more_pauses_than_there_is_room_for_pause_everything(void **state)
{
    (void)state;
    struct records records = fresh();
    unsigned i;

    for (i = 1; i <= FLO_PAUSES_MAX + 1; i++) {
        struct flo_order pause = rollout_order(FLO_ORDER_PAUSE, i, i);
        (void)tell(&records, &pause);
    }
    assert_int_equal(flo_device_rollout(&records.device, "r-0777", 0), FLO_ROLLOUT_PAUSED_BY_ORDER);

    struct flo_order resume = rollout_order(FLO_ORDER_RESUME, 90, 1);
    (void)tell(&records, &resume);
    assert_int_equal(flo_device_rollout(&records.device, "r-0777", 0), FLO_ROLLOUT_RESUMED);
    assert_int_equal(flo_device_rollout(&records.device, "r-0002", 0), FLO_ROLLOUT_PAUSED_BY_ORDER);
}

static void what_was_resumed_gives_way_and_is_not_asked_again(void **state)
{
    (void)state;
    struct records records = fresh();
    unsigned i;

    for (i = 1; i <= FLO_PAUSES_MAX + 1; i++) {
        struct flo_order resume = rollout_order(FLO_ORDER_RESUME, i, i);
        (void)tell(&records, &resume);
    }
    struct flo_order late = rollout_order(FLO_ORDER_PAUSE, 1, 1);
    assert_int_equal(tell(&records, &late), FLO_STATEMENT_SUPERSEDED);
    assert_int_equal(flo_device_rollout(&records.device, "r-0001", 0), FLO_ROLLOUT_RESUMED);
}

static void of_a_model_that_was_forgotten_only_newer_orders_count(void **state)
{
    (void)state;
    struct records records = fresh();
    struct flo_order deploy = deploy_of(50, 5);

    records.device.models_folded = 50;
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_SUPERSEDED);
    deploy.seq = 51;
    assert_int_equal(tell(&records, &deploy), FLO_STATEMENT_NEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_loss_and_repetition_of_six_orders_leave_the_same_records),
        cmocka_unit_test(an_older_deploy_changes_nothing),
        cmocka_unit_test(an_older_unfreeze_lifts_no_newer_freeze),
        cmocka_unit_test(an_older_order_lets_no_prompt_out),
        cmocka_unit_test(an_older_rollback_denies_and_assigns_nothing),
        cmocka_unit_test(a_lift_holds_against_a_rollback_that_comes_late),
        cmocka_unit_test(a_deploy_after_an_abort_of_its_rollout_is_aborted),
        cmocka_unit_test(a_number_that_another_order_has_is_refused),
        cmocka_unit_test(no_number_ends_a_subject_at_once),
        cmocka_unit_test(of_an_older_epoch_nothing_is_taken),
        cmocka_unit_test(an_era_that_only_the_model_knows_begins_once_more),
        cmocka_unit_test(other_order_keys_begin_an_era),
        cmocka_unit_test(no_lane_ends_the_others_freeze),
        cmocka_unit_test(no_lane_lets_prompts_out_that_the_other_keeps),
        cmocka_unit_test(an_emergency_number_leaves_the_order_lane_its_numbers),
        cmocka_unit_test(only_an_emergency_key_lifts_what_one_took_back),
        cmocka_unit_test(a_record_of_another_enrolment_is_known_as_such),
        cmocka_unit_test(a_statement_of_the_same_epoch_keeps_all_numbers),
        cmocka_unit_test(a_later_epoch_begins_both_lanes_again_and_thaws_nothing),
        cmocka_unit_test(an_emergency_that_no_key_could_end_ends),
        cmocka_unit_test(a_file_behind_the_record_is_not_acted_on),
        cmocka_unit_test(enrolling_again_takes_an_older_statement),
        cmocka_unit_test(more_pauses_than_there_is_room_for_pause_everything),
        cmocka_unit_test(what_was_resumed_gives_way_and_is_not_asked_again),
        cmocka_unit_test(of_a_model_that_was_forgotten_only_newer_orders_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
