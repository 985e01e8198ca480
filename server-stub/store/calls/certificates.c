/* Store: certificates of devices. */
#include <string.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"

struct certificates {
    struct flo_fleet_store *store;
    flo_fleet_certificate_fn fn;
    void *context;
    struct flo_digest sum; /* sum of the rows so far */
};

static int take_certificate(void *context, const struct flo_row *row)
{
    struct certificates *certificates = context;
    bool is_sealed = flo_fleet_is_sealed(certificates->store, row, &certificates->sum);
    const struct flo_fleet_certificate certificate = {
        .serial = flo_row_text(row, FLO_FIELD_CERTIFICATE_SERIAL),
        .device = flo_row_text(row, FLO_FIELD_CERTIFICATE_DEVICE),
        .authority = flo_row_text(row, FLO_FIELD_CERTIFICATE_AUTHORITY),
        .state = flo_certificate_parse(flo_row_text(row, FLO_FIELD_CERTIFICATE_STATE)),
        .issued_at_ms = flo_row_number(row, FLO_FIELD_CERTIFICATE_ISSUED_AT),
        .until_ms = flo_row_number(row, FLO_FIELD_CERTIFICATE_UNTIL),
        .key = is_sealed ? flo_row_text(row, FLO_FIELD_CERTIFICATE_KEY) : "",
        .proved = flo_row_text(row, FLO_FIELD_CERTIFICATE_PROVED),
    };

    return certificates->fn(certificates->context, &certificate);
}

static struct flo_match state_is(enum flo_certificate_state state)
{
    return text_is(FLO_FIELD_CERTIFICATE_STATE, flo_certificate_word(state));
}

static struct flo_field_change set_state(enum flo_certificate_state state)
{
    return set_text(FLO_FIELD_CERTIFICATE_STATE, flo_certificate_word(state));
}

int flo_fleet_certificate_add(struct flo_fleet_store *store,
                              const struct flo_fleet_certificate *certificate, struct flo_err *err)
{
    return flo_fleet_insert(
        store, FLO_TABLE_CERTIFICATE,
        CHANGES(set_text(FLO_FIELD_CERTIFICATE_SERIAL, certificate->serial),
                set_text(FLO_FIELD_CERTIFICATE_DEVICE, certificate->device),
                set_text(FLO_FIELD_CERTIFICATE_AUTHORITY, certificate->authority),
                set_state(certificate->state),
                set_number(FLO_FIELD_CERTIFICATE_ISSUED_AT, certificate->issued_at_ms),
                set_number(FLO_FIELD_CERTIFICATE_UNTIL, certificate->until_ms),
                set_text(FLO_FIELD_CERTIFICATE_KEY, certificate->key),
                set_text(FLO_FIELD_CERTIFICATE_PROVED, certificate->proved)),
        NULL, err);
}

int flo_fleet_certificate_prove(struct flo_fleet_store *store, const char *serial,
                                const char *proved, struct flo_err *err)
{
    return flo_fleet_update(store, FLO_TABLE_CERTIFICATE,
                            CHANGES(set_text(FLO_FIELD_CERTIFICATE_PROVED, proved)),
                            MATCHES(text_is(FLO_FIELD_CERTIFICATE_SERIAL, serial)), NULL, err);
}

int flo_fleet_certificate_get(struct flo_fleet_store *store, const char *serial,
                              flo_fleet_certificate_fn fn, void *context, struct flo_err *err)
{
    struct certificates certificates = {store, fn, context, {{0}}};
    bool found;
    int rv =
        flo_fleet_find_one(store, ROWS(CERTIFICATE, text_is(FLO_FIELD_CERTIFICATE_SERIAL, serial)),
                           take_certificate, &certificates, &found, err);

    FLO_TRY(rv);
    return found ? rv : flo_fail(err, FLO_E_ABSENT, "no certificate %.64s", serial);
}

int flo_fleet_certificate_count(struct flo_fleet_store *store, const char *device,
                                uint64_t since_ms, uint64_t *out, struct flo_err *err)
{
    return flo_fleet_count_all(
        store,
        &ROWS(CERTIFICATE, text_is(FLO_FIELD_CERTIFICATE_DEVICE, device),
              number_how(FLO_FIELD_CERTIFICATE_ISSUED_AT, FLO_MATCH_FROM, since_ms)),
        out, err);
}

int flo_fleet_certificate_held(struct flo_fleet_store *store, const char *device,
                               const char *serial, struct flo_err *err)
{
    uint64_t changed = 0;

    FLO_TRY(flo_fleet_update(store, FLO_TABLE_CERTIFICATE, CHANGES(set_state(FLO_CERTIFICATE_HELD)),
                             MATCHES(text_is(FLO_FIELD_CERTIFICATE_SERIAL, serial),
                                     text_is(FLO_FIELD_CERTIFICATE_DEVICE, device),
                                     state_is(FLO_CERTIFICATE_ISSUED)),
                             &changed, err));
    if (changed == 0) {
        return 0;
    }
    return flo_fleet_update(
        store, FLO_TABLE_CERTIFICATE, CHANGES(set_state(FLO_CERTIFICATE_REPLACED)),
        MATCHES(text_is(FLO_FIELD_CERTIFICATE_DEVICE, device),
                text_how(FLO_FIELD_CERTIFICATE_SERIAL, FLO_MATCH_IS_NOT, serial),
                state_is(FLO_CERTIFICATE_HELD)),
        NULL, err);
}

int flo_fleet_certificate_adopt(struct flo_fleet_store *store, const char *serial,
                                struct flo_err *err)
{
    return flo_fleet_update(
        store, FLO_TABLE_CERTIFICATE, CHANGES(set_state(FLO_CERTIFICATE_ISSUED)),
        MATCHES(text_is(FLO_FIELD_CERTIFICATE_SERIAL, serial), state_is(FLO_CERTIFICATE_UNKNOWN)),
        NULL, err);
}

int flo_fleet_certificate_revoke(struct flo_fleet_store *store, const char *device, const char *but,
                                 struct flo_err *err)
{
    return flo_fleet_update(store, FLO_TABLE_CERTIFICATE,
                            CHANGES(set_state(FLO_CERTIFICATE_REVOKED)),
                            MATCHES(text_is(FLO_FIELD_CERTIFICATE_DEVICE, device),
                                    text_how(FLO_FIELD_CERTIFICATE_SERIAL, FLO_MATCH_IS_NOT, but)),
                            NULL, err);
}

int flo_fleet_certificate_list(struct flo_fleet_store *store, enum flo_certificate_state state,
                               uint64_t until_ms, flo_fleet_certificate_fn fn, void *context,
                               struct flo_err *err)
{
    struct certificates certificates = {store, fn, context, {{0}}};

    return flo_fleet_find(
        store,
        &(struct flo_query){
            .table = FLO_TABLE_CERTIFICATE,
            WHERE(state_is(state),
                  number_how(FLO_FIELD_CERTIFICATE_UNTIL, FLO_MATCH_ABOVE, until_ms)),
            SORTED(UP(CERTIFICATE_DEVICE), UP(CERTIFICATE_ISSUED_AT), UP(CERTIFICATE_SERIAL))},
        take_certificate, &certificates, err);
}

int flo_fleet_certificate_each(struct flo_fleet_store *store,
                               const enum flo_certificate_state *states, size_t count,
                               uint64_t until_ms, flo_fleet_certificate_fn fn, void *context,
                               struct flo_err *err)
{
    struct certificates certificates = {store, fn, context, {{0}}};
    struct flo_value words[FLO_CERTIFICATE_STATES] = {0};
    struct flo_query query = {
        .table = FLO_TABLE_CERTIFICATE,
        WHERE(one_of(FLO_FIELD_CERTIFICATE_STATE, words, count),
              number_how(FLO_FIELD_CERTIFICATE_UNTIL, FLO_MATCH_ABOVE, until_ms))};

    for (size_t i = 0; i < count; i++) {
        words[i].text = flo_certificate_word(states[i]);
    }
    /* Without a limit of time most certificates match, so an index would not
     * help. */
    query.matches[1].is_common = until_ms == 0;
    FLO_TRY(flo_fleet_find(store, &query, take_certificate, &certificates, err));
    if (until_ms == 0) { /* all that are in use */
        flo_fleet_sum_compare(store, FLO_SEALED_CERTIFICATE, &certificates.sum);
    }
    return 0;
}

int flo_fleet_certificate_ending(struct flo_fleet_store *store, enum flo_certificate_state state,
                                 uint64_t after_ms, uint64_t to_ms, uint64_t *out,
                                 struct flo_err *err)
{
    return flo_fleet_count_all(
        store,
        &ROWS(CERTIFICATE, state_is(state),
              number_how(FLO_FIELD_CERTIFICATE_UNTIL, FLO_MATCH_ABOVE, after_ms),
              number_how(FLO_FIELD_CERTIFICATE_UNTIL, FLO_MATCH_UP_TO, to_ms)),
        out, err);
}

int flo_fleet_certificate_prune(struct flo_fleet_store *store, uint64_t before_ms,
                                struct flo_err *err)
{
    return flo_fleet_remove(
        store, FLO_TABLE_CERTIFICATE,
        MATCHES(number_how(FLO_FIELD_CERTIFICATE_UNTIL, FLO_MATCH_BELOW, before_ms)), NULL, err);
}
