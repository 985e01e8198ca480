/* Store: groups and their members. */
#include <string.h>

#include <flotilla/errors/group.h>
#include <flotilla/errors/target.h>
#include <flotilla/plural.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"
#include "server-stub/store/groups.h"

struct groups {
    struct flo_fleet_store *store;
    flo_fleet_group_fn fn;
    void *context;
    bool is_foreign; /* a row had no valid seal */
};

static int take_group(void *context, const struct flo_row *row)
{
    struct groups *groups = context;

    if (!flo_fleet_is_sealed(groups->store, row, NULL)) {
        groups->is_foreign = true;
        return 0;
    }
    struct flo_fleet_group group = {.name = flo_row_text(row, FLO_FIELD_GROUP_NAME),
                                    .selector = flo_row_text(row, FLO_FIELD_GROUP_SELECTOR),
                                    .priority = flo_row_number(row, FLO_FIELD_GROUP_PRIORITY),
                                    .note = flo_row_text(row, FLO_FIELD_GROUP_NOTE),
                                    .created_at_ms =
                                        flo_row_number(row, FLO_FIELD_GROUP_CREATED_AT),
                                    .ends = flo_row_flag(row, FLO_FIELD_GROUP_ENDS)};

    return groups->fn != NULL ? groups->fn(groups->context, &group) : 0;
}

int flo_fleet_group_put(struct flo_fleet_store *store, const struct flo_fleet_group *group,
                        struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_GROUP,
                         CHANGES(set_text(FLO_FIELD_GROUP_NAME, group->name),
                                 set_text(FLO_FIELD_GROUP_SELECTOR, group->selector),
                                 set_number(FLO_FIELD_GROUP_PRIORITY, group->priority),
                                 set_text(FLO_FIELD_GROUP_NOTE, group->note),
                                 set_number(FLO_FIELD_GROUP_CREATED_AT, group->created_at_ms),
                                 set_number(FLO_FIELD_GROUP_ENDS, group->ends)),
                         err);
}

int flo_fleet_group_get(struct flo_fleet_store *store, const char *name, flo_fleet_group_fn fn,
                        void *context, struct flo_err *err)
{
    struct groups groups = {.store = store, .fn = fn, .context = context};
    bool found;
    int rv = flo_fleet_find_one(store, ROWS(GROUP, text_is(FLO_FIELD_GROUP_NAME, name)), take_group,
                                &groups, &found, err);

    FLO_TRY(rv);
    if (groups.is_foreign) {
        flo_fail(err, FLO_E_STATE, "group %.64s: somebody else wrote its row", name);
        return flo_err_fix(err, "see the alert row-unsealed in the runbook");
    }
    return found ? rv : flo_fail(err, FLO_E_GROUP_ABSENT, "no group %.64s", name);
}

int flo_fleet_group_list(struct flo_fleet_store *store, flo_fleet_group_fn fn, void *context,
                         struct flo_err *err)
{
    struct groups groups = {.store = store, .fn = fn, .context = context};

    return flo_fleet_find(store,
                          &(struct flo_query){.table = FLO_TABLE_GROUP, SORTED(UP(GROUP_NAME))},
                          take_group, &groups, err);
}

int flo_fleet_group_delete(struct flo_fleet_store *store, const char *name, struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_GROUP, MATCHES(text_is(FLO_FIELD_GROUP_NAME, name)),
                            NULL, err);
}

/* ---- members ---- */

typedef int (*joined_fn)(void *context, const char *group, uint64_t since);
struct joined {
    joined_fn fn;
    void *context;
};

static int take_joined(void *context, const struct flo_row *row)
{
    const struct joined *joined = context;

    return joined->fn(joined->context, flo_row_text(row, FLO_FIELD_DEVICE_GROUP_GROUP),
                      flo_row_number(row, FLO_FIELD_DEVICE_GROUP_SINCE));
}

static int groups_of(struct flo_fleet_store *store, const char *device, joined_fn fn, void *context,
                     struct flo_err *err)
{
    struct joined joined = {fn, context};

    return flo_fleet_find(store,
                          &(struct flo_query){.table = FLO_TABLE_DEVICE_GROUP,
                                              WHERE(text_is(FLO_FIELD_DEVICE_GROUP_DEVICE, device)),
                                              SORTED(UP(DEVICE_GROUP_GROUP))},
                          take_joined, &joined, err);
}

struct names {
    const char *group;
    bool is_member;
    struct flo_buf text;
};

/* Changes the device's list of groups, which is sorted, but `all` comes first.
 * The list is that of the device's row, which is sealed. */
static int change_names(void *context, const struct flo_fleet_device *device)
{
    struct names *names = context;
    FLO_CLEANUP(flo_json_cleanup) json_t *list = NULL;
    size_t at = 0;

    if (flo_json_parse(device->groups, strlen(device->groups), 1 << 16, &list, NULL) < 0) {
        list = json_array();
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL || strcmp(name, names->group) == 0) {
            json_array_remove(list, i--);
        } else if (strcmp(name, "all") == 0 || strcmp(name, names->group) < 0) {
            at = i + 1;
        }
    }
    if (names->is_member) {
        json_array_insert_new(list, strcmp(names->group, "all") == 0 ? 0 : at,
                              json_string(names->group));
    }
    flo_json_dump(list, &names->text);
    return 0;
}

static int write_names(struct flo_fleet_store *store, const char *device, const char *group,
                       bool is_member, struct flo_err *err)
{
    struct names names = {.group = group, .is_member = is_member};
    int rv = flo_fleet_device_get(store, device, change_names, &names, err);

    if (rv == 0 && names.text.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "groups of a device");
    }
    if (rv == 0) {
        rv = flo_fleet_update(store, FLO_TABLE_DEVICE,
                              CHANGES(set_text(FLO_FIELD_DEVICE_GROUPS, names.text.data)),
                              MATCHES(text_is(FLO_FIELD_DEVICE_ID, device)), NULL, err);
    }
    flo_buf_deinit(&names.text);
    FLO_TRY(rv);
    return flo_fleet_device_index_again(store, device, err);
}

static int count_one(void *context, const char *group, uint64_t since)
{
    (void)group, (void)since;
    ++*(size_t *)context;
    return 0;
}

/* Checks that the device may join one more group: a group statement has room
 * for a limited number. */
static int has_room(struct flo_fleet_store *store, const char *group, const char *device,
                    struct flo_err *err)
{
    size_t count = 0;

    FLO_TRY(groups_of(store, device, count_one, &count, err));
    return count < FLO_GROUPS_MAX ? 0
                                  : flo_fail(err, FLO_E_TARGET_LIMIT,
                                             "device %.36s is in %zu group%s already: no room for "
                                             "%.64s",
                                             device, count, flo_s(count), group);
}

int flo_fleet_group_member(struct flo_fleet_store *store, const char *group, const char *device,
                           bool is_member, uint64_t since, bool *is_news, struct flo_err *err)
{
    uint64_t removed = 0;
    int rv = 0;

    *is_news = false;
    if (is_member) {
        FLO_TRY(has_room(store, group, device, err));
        rv = flo_fleet_insert(store, FLO_TABLE_DEVICE_GROUP,
                              CHANGES(set_text(FLO_FIELD_DEVICE_GROUP_GROUP, group),
                                      set_text(FLO_FIELD_DEVICE_GROUP_DEVICE, device),
                                      set_number(FLO_FIELD_DEVICE_GROUP_SINCE, since)),
                              is_news, err);
    } else {
        rv = flo_fleet_remove(store, FLO_TABLE_DEVICE_GROUP,
                              MATCHES(text_is(FLO_FIELD_DEVICE_GROUP_GROUP, group),
                                      text_is(FLO_FIELD_DEVICE_GROUP_DEVICE, device)),
                              &removed, err);
        *is_news = rv == 0 && removed > 0;
    }
    FLO_TRY(rv);
    return !*is_news ? rv : write_names(store, device, group, is_member, err);
}

static int take_counts(void *context, const struct flo_row *row, uint64_t count)
{
    struct flo_fleet_group_count *counts = context;

    counts->devices += count;
    counts->online += flo_row_flag(row, FLO_FIELD_DEVICE_ONLINE) ? count : 0;
    return 0;
}

int flo_fleet_group_counts(struct flo_fleet_store *store, const char *group,
                           struct flo_fleet_group_count *out, struct flo_err *err)
{
    static const enum flo_field by[] = {FLO_FIELD_DEVICE_ONLINE};

    *out = (struct flo_fleet_group_count){0};
    return flo_fleet_count(
        store,
        &ROWS(DEVICE, text_among(FLO_FIELD_DEVICE_ID, FLO_FIELD_DEVICE_GROUP_DEVICE,
                                 FLO_FIELD_DEVICE_GROUP_GROUP, group)),
        by, FLO_COUNT(by), take_counts, out, err);
}

/* ---- what a device is told ---- */

struct statements {
    flo_fleet_group_statement_fn fn;
    void *context;
    bool is_any;
};

static int take_statement(void *context, const struct flo_row *row)
{
    struct statements *statements = context;
    struct flo_fleet_group_statement statement = {
        .groups = flo_row_text(row, FLO_FIELD_DESIRED_GROUPS),
        .envelope = flo_row_text(row, FLO_FIELD_DESIRED_STATEMENT),
        .issued_at_ms = flo_row_number(row, FLO_FIELD_DESIRED_STATED_AT)};

    statements->is_any = statement.envelope[0] != '\0';
    return statements->fn(statements->context, &statement);
}

/* Notes in the device index whether the device has a group statement. */
static void note_stated(struct flo_fleet_store *store, const char *device, bool is_one)
{
    size_t number = flo_ids_find(&store->facts.ids, device);

    if (number < store->device_index.count) {
        store->device_index.items[number].stated = is_one ? 2 : 1;
    }
}

int flo_fleet_group_statement_get(struct flo_fleet_store *store, const char *device,
                                  flo_fleet_group_statement_fn fn, void *context,
                                  struct flo_err *err)
{
    struct statements statements = {.fn = fn, .context = context};
    int rv = flo_fleet_find_one(store, ROWS(DESIRED, text_is(FLO_FIELD_DESIRED_DEVICE, device)),
                                take_statement, &statements, NULL, err);

    if (rv == 0) {
        note_stated(store, device, statements.is_any);
    }
    return rv;
}

int flo_fleet_group_statement_set(struct flo_fleet_store *store, const char *device,
                                  const struct flo_fleet_group_statement *statement,
                                  struct flo_err *err)
{
    bool is_one = statement->envelope[0] != '\0';

    note_stated(store, device, is_one);
    return flo_fleet_update(
        store, FLO_TABLE_DESIRED,
        CHANGES(set_text(FLO_FIELD_DESIRED_GROUPS, statement->groups),
                set_text(FLO_FIELD_DESIRED_STATEMENT, statement->envelope),
                set_number(FLO_FIELD_DESIRED_STATED_AT, statement->issued_at_ms),
                add_number(FLO_FIELD_DESIRED_REVISION, is_one ? 1 : 0)),
        MATCHES(text_is(FLO_FIELD_DESIRED_DEVICE, device)), NULL, err);
}
