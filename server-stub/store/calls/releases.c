/* Store: releases and their envelopes. */
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/release.h>

#include "server-stub/store/calls/kept.h"

#define LISTED_MAX 1000

struct releases {
    flo_fleet_release_fn fn; /* or NULL */
    void *context;
    uint64_t count;
};

static int take_release(void *context, const struct flo_row *row)
{
    const struct releases *releases = context;
    struct flo_fleet_release release = {
        .model = flo_row_text(row, FLO_FIELD_RELEASE_MODEL),
        .version = flo_row_text(row, FLO_FIELD_RELEASE_VERSION),
        .number = flo_row_number(row, FLO_FIELD_RELEASE_NUMBER),
        .digest = flo_row_text(row, FLO_FIELD_RELEASE_DIGEST),
        .state = flo_row_text(row, FLO_FIELD_RELEASE_STATE),
        .body = flo_row_text(row, FLO_FIELD_RELEASE_BODY),
        .bytes = flo_row_number(row, FLO_FIELD_RELEASE_BYTES),
        .created_at_ms = flo_row_number(row, FLO_FIELD_RELEASE_CREATED_AT),
    };

    return releases->fn != NULL ? releases->fn(releases->context, &release) : 0;
}

int flo_fleet_release_add(struct flo_fleet_store *store, const struct flo_fleet_release *release,
                          struct flo_err *err)
{
    return flo_fleet_insert(
        store, FLO_TABLE_RELEASE,
        CHANGES(set_text(FLO_FIELD_RELEASE_MODEL, release->model),
                set_text(FLO_FIELD_RELEASE_VERSION, release->version),
                set_number(FLO_FIELD_RELEASE_NUMBER, release->number),
                set_text(FLO_FIELD_RELEASE_DIGEST, release->digest),
                set_text(FLO_FIELD_RELEASE_STATE, release->state),
                set_text(FLO_FIELD_RELEASE_BODY, release->body),
                set_number(FLO_FIELD_RELEASE_BYTES, release->bytes),
                set_number(FLO_FIELD_RELEASE_CREATED_AT, release->created_at_ms)),
        NULL, err);
}

int flo_fleet_release_get(struct flo_fleet_store *store, const char *model, const char *version,
                          flo_fleet_release_fn fn, void *context, struct flo_err *err)
{
    struct releases releases = {fn, context, 0};
    struct flo_query query = {.table = FLO_TABLE_RELEASE};
    bool found;

    if (model != NULL) {
        query.matches[query.match_count++] = text_is(FLO_FIELD_RELEASE_MODEL, model);
    }
    query.matches[query.match_count++] =
        text_is(model != NULL ? FLO_FIELD_RELEASE_VERSION : FLO_FIELD_RELEASE_DIGEST, version);
    int rv = flo_fleet_find_one(store, query, take_release, &releases, &found, err);
    FLO_TRY(rv);
    return found ? rv
                 : flo_fail(err, FLO_E_RELEASE_ABSENT, "no release %.64s%s%.72s",
                            model != NULL ? model : "", model != NULL ? "@" : "", version);
}

int flo_fleet_envelope_put(struct flo_fleet_store *store, const char *release, const char *text,
                           struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_ENVELOPE,
                         CHANGES(set_text(FLO_FIELD_ENVELOPE_RELEASE, release),
                                 set_text(FLO_FIELD_ENVELOPE_TEXT, text)),
                         err);
}

int flo_fleet_envelope_get(struct flo_fleet_store *store, const char *release, flo_fleet_text_fn fn,
                           void *context, struct flo_err *err)
{
    struct flo_text text = {FLO_FIELD_ENVELOPE_TEXT, fn, context};
    bool found;
    int rv = flo_fleet_find_one(store, ROWS(ENVELOPE, text_is(FLO_FIELD_ENVELOPE_RELEASE, release)),
                                flo_fleet_take_text, &text, &found, err);

    FLO_TRY(rv);
    return found ? rv : flo_fail(err, FLO_E_RELEASE_ABSENT, "no release %.72s", release);
}

int flo_fleet_release_list(struct flo_fleet_store *store, flo_fleet_release_fn fn, void *context,
                           struct flo_err *err)
{
    struct releases releases = {fn, context, 0};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_RELEASE,
                            SORTED(UP(RELEASE_MODEL), UP(RELEASE_NUMBER), UP(RELEASE_VERSION)),
                            .limit = LISTED_MAX},
        take_release, &releases, err);
}

static int take_counted(void *context, const struct flo_row *row)
{
    struct releases *releases = context;

    releases->count++;
    return take_release(context, row);
}

/* Lists the releases of one model whose number is above `above`. */
static int find_of_model(struct flo_fleet_store *store, const char *model, uint64_t above,
                         uint64_t limit, struct releases *releases, struct flo_err *err)
{
    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_RELEASE,
                            WHERE(text_is(FLO_FIELD_RELEASE_MODEL, model),
                                  number_how(FLO_FIELD_RELEASE_NUMBER, FLO_MATCH_ABOVE, above)),
                            SORTED(UP(RELEASE_NUMBER), UP(RELEASE_VERSION)),
                            .limit = limit},
        take_counted, releases, err);
}

int flo_fleet_release_page(struct flo_fleet_store *store, const char *model,
                           const char *after_model, uint64_t after_number, uint64_t limit,
                           flo_fleet_release_fn fn, void *context, struct flo_err *err)
{
    struct releases releases = {fn, context, 0};
    int rv = 0;

    if (model != NULL) {
        return find_of_model(store, model, after_number, limit, &releases, err);
    }
    if (after_model != NULL) {
        rv = find_of_model(store, after_model, after_number, limit, &releases, err);
    }
    if (rv == 0 && (limit == 0 || releases.count < limit)) {
        rv = flo_fleet_find(
            store,
            &(struct flo_query){.table = FLO_TABLE_RELEASE,
                                WHERE(text_how(FLO_FIELD_RELEASE_MODEL, FLO_MATCH_ABOVE,
                                               after_model != NULL ? after_model : "")),
                                SORTED(UP(RELEASE_MODEL), UP(RELEASE_NUMBER), UP(RELEASE_VERSION)),
                                .limit = limit > 0 ? limit - releases.count : 0},
            take_counted, &releases, err);
    }
    return rv;
}

int flo_fleet_release_state(struct flo_fleet_store *store, const char *digest, const char *state,
                            struct flo_err *err)
{
    FLO_TRY(flo_fleet_update(store, FLO_TABLE_RELEASE,
                             CHANGES(set_text(FLO_FIELD_RELEASE_STATE, state)),
                             MATCHES(text_is(FLO_FIELD_RELEASE_DIGEST, digest)), NULL, err));
    flo_fleet_wanted_release(store, digest, state);
    return 0;
}
