/* Store: rollouts and their members. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/store/calls/kept.h"

#define HELD_BITS 2
#define PROBE_BIT 10

struct rollouts {
    flo_fleet_rollout_fn fn;
    void *context;
};

static int take_rollout(void *context, const struct flo_row *row)
{
    const struct rollouts *rollouts = context;
    struct flo_fleet_rollout rollout = {
        .id = flo_row_text(row, FLO_FIELD_ROLLOUT_ID),
        .spec = flo_row_text(row, FLO_FIELD_ROLLOUT_SPEC),
        .state = flo_row_text(row, FLO_FIELD_ROLLOUT_STATE),
        .core = flo_row_text(row, FLO_FIELD_ROLLOUT_CORE),
        .digest = flo_row_text(row, FLO_FIELD_ROLLOUT_DIGEST),
        .created_at_ms = flo_row_number(row, FLO_FIELD_ROLLOUT_CREATED_AT),
    };

    return rollouts->fn(rollouts->context, &rollout);
}

static bool is_active(const char *word)
{
#define FLO_ROLLOUT_STATE(name, state_word, is_active, meaning, next)                              \
    if (is_active && strcmp(word, state_word) == 0) {                                              \
        return true;                                                                               \
    }
#include "server-stub/core/rollout/rollout_states.def"
    return false;
}

static struct flo_field_change set_first(enum flo_field field, const char *text)
{
    return (struct flo_field_change){
        .field = field, .how = FLO_CHANGE_SET_FIRST, .value.text = text};
}

int flo_fleet_rollout_put(struct flo_fleet_store *store, const struct flo_fleet_rollout *rollout,
                          struct flo_err *err)
{
    const char *word = strchr(rollout->id, '-');
    uint64_t number = word != NULL ? strtoull(word + 1, NULL, 10) : 0;

    FLO_TRY(flo_fleet_put(
        store, FLO_TABLE_ROLLOUT,
        CHANGES(set_text(FLO_FIELD_ROLLOUT_ID, rollout->id),
                set_number(FLO_FIELD_ROLLOUT_NUMBER, number),
                set_first(FLO_FIELD_ROLLOUT_GROUP, rollout->group != NULL ? rollout->group : "all"),
                set_text(FLO_FIELD_ROLLOUT_SPEC, rollout->spec),
                set_text(FLO_FIELD_ROLLOUT_STATE, rollout->state),
                set_number(FLO_FIELD_ROLLOUT_ACTIVE, is_active(rollout->state)),
                set_text(FLO_FIELD_ROLLOUT_CORE, rollout->core),
                set_first(FLO_FIELD_ROLLOUT_DIGEST, rollout->digest),
                (struct flo_field_change){.field = FLO_FIELD_ROLLOUT_CREATED_AT,
                                          .how = FLO_CHANGE_SET_FIRST,
                                          .value.number = rollout->created_at_ms}),
        err));
    flo_fleet_wanted_rollout(store, rollout->digest, number, rollout->state);
    return 0;
}

int flo_fleet_rollout_get(struct flo_fleet_store *store, const char *id, flo_fleet_rollout_fn fn,
                          void *context, struct flo_err *err)
{
    struct rollouts rollouts = {fn, context};
    bool found;
    int rv = flo_fleet_find_one(store, ROWS(ROLLOUT, text_is(FLO_FIELD_ROLLOUT_ID, id)),
                                take_rollout, &rollouts, &found, err);

    FLO_TRY(rv);
    return found ? rv : flo_fail(err, FLO_E_ROLLOUT_ABSENT, "no rollout %.64s", id);
}

int flo_fleet_rollout_list(struct flo_fleet_store *store, uint64_t limit, flo_fleet_rollout_fn fn,
                           void *context, struct flo_err *err)
{
    struct rollouts rollouts = {fn, context};

    return limit == 0 ? 0
                      : flo_fleet_find(
                            store,
                            &(struct flo_query){.table = FLO_TABLE_ROLLOUT,
                                                SORTED(DOWN(ROLLOUT_ACTIVE), DOWN(ROLLOUT_NUMBER)),
                                                .limit = limit},
                            take_rollout, &rollouts, err);
}

int flo_fleet_rollout_page(struct flo_fleet_store *store, bool is_active, uint64_t below,
                           uint64_t limit, flo_fleet_rollout_fn fn, void *context,
                           struct flo_err *err)
{
    struct rollouts rollouts = {fn, context};

    return limit == 0 ? 0
                      : flo_fleet_find(
                            store,
                            &(struct flo_query){
                                .table = FLO_TABLE_ROLLOUT,
                                WHERE(number_is(FLO_FIELD_ROLLOUT_ACTIVE, is_active),
                                      number_how(FLO_FIELD_ROLLOUT_NUMBER, FLO_MATCH_BELOW, below)),
                                SORTED(DOWN(ROLLOUT_NUMBER)),
                                .limit = limit},
                            take_rollout, &rollouts, err);
}

struct joined {
    char id[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char group[FLO_NAME_MAX + 1];
    bool is_completed;
};
struct all_joined {
    struct joined *items;
    size_t count, room;
    struct flo_err *err;
};

static bool has_newer(const struct all_joined *all, const struct joined *joined)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct joined *newer = &all->items[i];
        if (newer->is_completed && strcmp(newer->model, joined->model) == 0 &&
            strcmp(newer->group, joined->group) == 0) {
            return true;
        }
    }
    return false;
}

static int take_joined(void *context, const struct flo_row *row)
{
    struct all_joined *all = context;
    const char *state = flo_row_text(row, FLO_FIELD_ROLLOUT_STATE);
    struct joined joined = {.is_completed = strcmp(state, "completed") == 0};

    snprintf(joined.id, sizeof(joined.id), "%s", flo_row_text(row, FLO_FIELD_ROLLOUT_ID));
    snprintf(joined.model, sizeof(joined.model), "%s", flo_row_text(row, FLO_FIELD_RELEASE_MODEL));
    snprintf(joined.group, sizeof(joined.group), "%s", flo_row_text(row, FLO_FIELD_ROLLOUT_GROUP));
    if (joined.is_completed && has_newer(all, &joined)) {
        return 0;
    }
    FLO_TRY(flo_grow_or_fail(&all->items, &all->room, all->count, sizeof(*all->items), "rollouts",
                             all->err));
    all->items[all->count++] = joined;
    return 0;
}

int flo_fleet_rollout_joined(struct flo_fleet_store *store, const char *device,
                             flo_fleet_text_fn fn, void *context, struct flo_err *err)
{
    static const struct flo_value states[] = {{.text = "awaiting-approval"},
                                              {.text = "scheduled"},
                                              {.text = "running"},
                                              {.text = "paused"},
                                              {.text = "completed"}};
    struct flo_query query = {
        .table = FLO_TABLE_ROLLOUT,
        .join = FLO_FIELD_RELEASE_DIGEST,
        .by = FLO_FIELD_ROLLOUT_DIGEST,
        .needs_joined = true,
        WHERE(text_is(FLO_FIELD_RELEASE_STATE, "published"),
              one_of(FLO_FIELD_ROLLOUT_STATE, states, FLO_COUNT(states)),
              text_among(FLO_FIELD_ROLLOUT_GROUP, FLO_FIELD_DEVICE_GROUP_GROUP,
                         FLO_FIELD_DEVICE_GROUP_DEVICE, device)),
        SORTED(DOWN(ROLLOUT_NUMBER))};
    struct all_joined all = {.err = err};
    int rv = flo_fleet_find(store, &query, take_joined, &all, err);

    for (size_t i = all.count; i > 0 && rv == 0; i--) {
        rv = fn(context, all.items[i - 1].id);
    }
    free(all.items);
    return rv;
}

struct claims {
    flo_fleet_claim_fn fn;
    void *context;
};

static int take_claim(void *context, const struct flo_row *row)
{
    const struct claims *claims = context;
    const char *state = flo_row_text(row, FLO_FIELD_ROLLOUT_STATE);
    struct flo_fleet_claim claim = {.rollout = flo_row_text(row, FLO_FIELD_ROLLOUT_ID),
                                    .model = flo_row_text(row, FLO_FIELD_RELEASE_MODEL),
                                    .version = flo_row_text(row, FLO_FIELD_RELEASE_VERSION),
                                    .digest = flo_row_text(row, FLO_FIELD_RELEASE_DIGEST),
                                    .is_completed = strcmp(state, "completed") == 0};

    return claims->fn(claims->context, &claim);
}

int flo_fleet_rollout_claims(struct flo_fleet_store *store, const char *group,
                             flo_fleet_claim_fn fn, void *context, struct flo_err *err)
{
    static const struct flo_value states[] = {
        {.text = "running"}, {.text = "paused"}, {.text = "completed"}};
    struct claims claims = {fn, context};
    struct flo_query query = {.table = FLO_TABLE_ROLLOUT,
                              .join = FLO_FIELD_RELEASE_DIGEST,
                              .by = FLO_FIELD_ROLLOUT_DIGEST,
                              .needs_joined = true,
                              WHERE(text_is(FLO_FIELD_RELEASE_STATE, "published"),
                                    one_of(FLO_FIELD_ROLLOUT_STATE, states, FLO_COUNT(states)),
                                    text_is(FLO_FIELD_ROLLOUT_GROUP, group)),
                              SORTED(DOWN(ROLLOUT_NUMBER))};

    return flo_fleet_find(store, &query, take_claim, &claims, err);
}

static bool is_bad(const struct flo_rollout_member *member)
{
    return member->lateness != FLO_LATENESS_NONE ||
           flo_execution_kind((enum flo_execution)member->state) == FLO_EXECUTION_END_BAD;
}

static size_t add_texts(struct flo_field_change *changes, size_t count, const char *error_json,
                        const char *detail_json)
{
    if (error_json != NULL) {
        changes[count++] = set_text(FLO_FIELD_MEMBER_ERROR, error_json);
    }
    if (detail_json != NULL) {
        changes[count++] = set_text(FLO_FIELD_MEMBER_DETAIL, detail_json);
    }
    return count;
}

int flo_fleet_member_remove(struct flo_fleet_store *store, const char *rollout, const char *device,
                            struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_MEMBER,
                            MATCHES(text_is(FLO_FIELD_MEMBER_ROLLOUT, rollout),
                                    text_is(FLO_FIELD_MEMBER_DEVICE, device)),
                            NULL, err);
}

int flo_fleet_member_put(struct flo_fleet_store *store, const char *rollout,
                         const struct flo_rollout_member *member, const char *error_json,
                         const char *detail_json, struct flo_err *err)
{
    struct flo_field_change changes[15] = {
        set_text(FLO_FIELD_MEMBER_ROLLOUT, rollout),
        set_text(FLO_FIELD_MEMBER_DEVICE, member->device),
        set_number(FLO_FIELD_MEMBER_BUCKET, member->bucket),
        set_text(FLO_FIELD_MEMBER_STATE, flo_execution_word((enum flo_execution)member->state)),
        set_number(FLO_FIELD_MEMBER_ATTEMPT, member->attempt),
        set_number(FLO_FIELD_MEMBER_LATENESS, member->lateness),
        set_number(FLO_FIELD_MEMBER_AWAY, member->is_away),
        set_number(FLO_FIELD_MEMBER_BACK, member->is_back),
        set_number(FLO_FIELD_MEMBER_BAD, is_bad(member)),
        set_number(FLO_FIELD_MEMBER_SINCE_AT, member->since_at_ms),
        set_number(FLO_FIELD_MEMBER_RETRIES, member->retries),
        set_number(FLO_FIELD_MEMBER_SEGMENT, member->segment),
        set_number(FLO_FIELD_MEMBER_HELD, member->held | (uint64_t)member->held_of << HELD_BITS |
                                              (uint64_t)member->is_probe << PROBE_BIT),
    };

    return flo_fleet_put(store, FLO_TABLE_MEMBER, changes,
                         add_texts(changes, 13, error_json, detail_json), err);
}

int flo_fleet_member_detail(struct flo_fleet_store *store, const char *rollout, const char *device,
                            const char *error_json, const char *detail_json, struct flo_err *err)
{
    struct flo_field_change changes[2];
    size_t count = add_texts(changes, 0, error_json, detail_json);

    return count == 0 ? 0
                      : flo_fleet_update(store, FLO_TABLE_MEMBER, changes, count,
                                         MATCHES(text_is(FLO_FIELD_MEMBER_ROLLOUT, rollout),
                                                 text_is(FLO_FIELD_MEMBER_DEVICE, device)),
                                         NULL, err);
}

static void member_of(const struct flo_row *row, struct flo_rollout_member *out)
{
    enum flo_execution state = FLO_EXECUTION_QUEUED;
    uint64_t lateness = flo_row_number(row, FLO_FIELD_MEMBER_LATENESS);
    uint64_t number = flo_row_number(row, FLO_FIELD_MEMBER_HELD);
    uint64_t held = number & ((1u << HELD_BITS) - 1);

    *out = (struct flo_rollout_member){
        .bucket = (uint32_t)(flo_row_number(row, FLO_FIELD_MEMBER_BUCKET) % FLO_BUCKETS),
        .attempt = (uint32_t)flo_row_number(row, FLO_FIELD_MEMBER_ATTEMPT),
        .lateness = lateness > FLO_LATENESS_OVERDUE ? FLO_LATENESS_NONE : (uint8_t)lateness,
        .is_back = flo_row_flag(row, FLO_FIELD_MEMBER_BACK),
        .is_away = flo_row_flag(row, FLO_FIELD_MEMBER_AWAY),
        .since_at_ms = flo_row_number(row, FLO_FIELD_MEMBER_SINCE_AT),
        .heard_at_ms = flo_row_number(row, FLO_FIELD_MEMBER_SINCE_AT),
        .retries = (uint8_t)flo_row_number(row, FLO_FIELD_MEMBER_RETRIES),
        .segment = (uint8_t)flo_row_number(row, FLO_FIELD_MEMBER_SEGMENT),
        .held = held > FLO_HELD_THERE ? FLO_HELD_BACK : (uint8_t)held,
        .held_of = (uint8_t)(number >> HELD_BITS),
        .is_probe = (number >> PROBE_BIT & 1) != 0,
    };
    snprintf(out->device, sizeof(out->device), "%s", flo_row_text(row, FLO_FIELD_MEMBER_DEVICE));
    if (flo_execution_parse(flo_row_text(row, FLO_FIELD_MEMBER_STATE), &state)) {
        out->state = (uint8_t)state;
    }
}

struct members {
    flo_fleet_member_fn fn;
    void *context;
};

static int take_member(void *context, const struct flo_row *row)
{
    const struct members *members = context;
    struct flo_rollout_member member;

    member_of(row, &member);
    return members->fn(members->context, &member, flo_row_text(row, FLO_FIELD_MEMBER_ERROR),
                       flo_row_text(row, FLO_FIELD_MEMBER_DETAIL));
}

int flo_fleet_member_list(struct flo_fleet_store *store, const char *rollout, uint64_t limit,
                          flo_fleet_member_fn fn, void *context, struct flo_err *err)
{
    struct members members = {fn, context};

    return limit == 0 ? 0
                      : flo_fleet_find(
                            store,
                            &(struct flo_query){.table = FLO_TABLE_MEMBER,
                                                WHERE(text_is(FLO_FIELD_MEMBER_ROLLOUT, rollout)),
                                                SORTED(UP(MEMBER_DEVICE)),
                                                .limit = limit},
                            take_member, &members, err);
}

int flo_fleet_member_some(struct flo_fleet_store *store, const char *rollout,
                          const char *const *devices, size_t count, flo_fleet_member_fn fn,
                          void *context, struct flo_err *err)
{
    struct members members = {fn, context};
    struct flo_value list[FLO_MATCH_LIST_MAX];
    int rv = 0;

    for (size_t from = 0; from < count && rv == 0; from += FLO_COUNT(list)) {
        size_t some = count - from < FLO_COUNT(list) ? count - from : FLO_COUNT(list);
        for (size_t i = 0; i < some; i++) {
            list[i] = (struct flo_value){.text = devices[from + i]};
        }
        rv = flo_fleet_find(store,
                            &ROWS(MEMBER, text_is(FLO_FIELD_MEMBER_ROLLOUT, rollout),
                                  one_of(FLO_FIELD_MEMBER_DEVICE, list, some)),
                            take_member, &members, err);
    }
    return rv;
}

struct listed {
    flo_fleet_evidence_fn fn;
    void *context;
};

static int take_evidence(void *context, const struct flo_row *row)
{
    const struct listed *listed = context;

    return listed->fn(listed->context, &(struct flo_fleet_evidence){
                                           .rollout = flo_row_text(row, FLO_FIELD_EVIDENCE_ROLLOUT),
                                           .number = flo_row_number(row, FLO_FIELD_EVIDENCE_NUMBER),
                                           .at_ms = flo_row_number(row, FLO_FIELD_EVIDENCE_AT),
                                           .body = flo_row_text(row, FLO_FIELD_EVIDENCE_BODY)});
}

int flo_fleet_evidence_put(struct flo_fleet_store *store, const struct flo_fleet_evidence *put,
                           struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_EVIDENCE,
                         CHANGES(set_text(FLO_FIELD_EVIDENCE_ROLLOUT, put->rollout),
                                 set_number(FLO_FIELD_EVIDENCE_NUMBER, put->number),
                                 set_number(FLO_FIELD_EVIDENCE_AT, put->at_ms),
                                 set_text(FLO_FIELD_EVIDENCE_BODY, put->body)),
                         err);
}

int flo_fleet_evidence_list(struct flo_fleet_store *store, const char *rollout, uint64_t after,
                            uint64_t limit, flo_fleet_evidence_fn fn, void *context,
                            struct flo_err *err)
{
    struct listed listed = {fn, context};
    struct flo_query query = {.table = FLO_TABLE_EVIDENCE,
                              WHERE(text_is(FLO_FIELD_EVIDENCE_ROLLOUT, rollout),
                                    number_how(FLO_FIELD_EVIDENCE_NUMBER, FLO_MATCH_ABOVE, after)),
                              SORTED(UP(EVIDENCE_NUMBER)),
                              .limit = limit};

    return flo_fleet_find(store, &query, take_evidence, &listed, err);
}

int flo_fleet_evidence_prune(struct flo_fleet_store *store, uint64_t now_ms, struct flo_err *err)
{
    return now_ms <= FLO_FLEET_EVIDENCE_KEPT_MS
               ? 0
               : flo_fleet_remove(store, FLO_TABLE_EVIDENCE,
                                  MATCHES(number_how(FLO_FIELD_EVIDENCE_AT, FLO_MATCH_BELOW,
                                                     now_ms - FLO_FLEET_EVIDENCE_KEPT_MS)),
                                  NULL, err);
}
