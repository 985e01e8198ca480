/* REST: releases: uploads a signed document, publishes, yanks. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/release.h>
#include <flotilla/plural.h>

#include "proto/license.h"
#include "server-stub/core/orders/offer.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/artifacts/artifacts.h"
#include "server-stub/state/artifacts/depot.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/released.h"
#include "server-stub/state/telemetry_link.h"
#include "server-stub/state/trust/trust.h"

/* Sets the ETag of a release.  When one person publishes a release while
 * another yanks it, the second request is refused and has to look again. */
static void tag(struct flo_rest_call *call, const char *digest, const char *state)
{
    char text[FLO_DIGEST_TEXT + 32];

    snprintf(text, sizeof(text), "%s %s", digest, state);
    flo_rest_etag_of(call, text);
}

static int take_view(void *context, const struct flo_fleet_release *release)
{
    struct flo_rest_call *call = context;

    tag(call, release->digest, release->state);
    call->out = flo_object_release(release, true);
    return 0;
}

/* ---- artifacts that miss ---- */

/* Artifacts of a release whose files are not on this machine. */
struct gone {
    const struct flo_controller *controller;
    json_t *missing;   /* to be uploaded */
    json_t *collected; /* deltas that the garbage collection removed, because no
                          device could apply them */
};

static void note_gone(struct gone *gone, const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    if (flo_digest_is_zero(digest) || flo_artifact_is_here(gone->controller, digest)) {
        return;
    }
    flo_digest_text(digest, text);
    json_array_append_new(flo_artifact_was_collected(gone->controller, digest) ? gone->collected
                                                                               : gone->missing,
                          json_string(text));
}

static struct gone find_gone(const struct flo_controller *controller,
                             const struct flo_release *release)
{
    struct gone gone = {controller, json_array(), json_array()};

    for (uint32_t f = 0; f < release->file_count; f++) {
        const struct flo_release_file *file = &release->files[f];
        for (uint32_t w = 0; w < file->way_count; w++) {
            note_gone(&gone, &file->ways[w].digest);
        }
        note_gone(&gone, &file->chunk_list);
    }
    return gone;
}

static void show_gone(struct flo_rest_call *call, const struct flo_release *release)
{
    struct gone gone = find_gone(call->controller, release);
    const char *state = json_string_value(json_object_get(call->out, "state"));

    /* The depot has all artifacts of a published release, so none is
     * missing. */
    if (call->controller->depot != NULL && state != NULL && strcmp(state, "draft") != 0) {
        json_array_clear(gone.missing);
    }
    json_object_set_new(call->out, "missing", gone.missing);
    json_object_set_new(call->out, "collected", gone.collected);
}

/* Returns the bytes of the smallest download of the first variant, for a device
 * without a base. */
static uint64_t full_bytes(const struct flo_release *release)
{
    const struct flo_release_variant *variant = &release->variants[0];
    uint64_t sum = 0;

    for (uint32_t i = 0; release->variant_count > 0 && i < variant->file_count; i++) {
        const struct flo_release_file *file = &release->files[variant->files[i]];
        const struct flo_way *way = flo_release_full_way(file);
        sum += way != NULL && way->bytes < file->bytes ? way->bytes : file->bytes;
    }
    return sum;
}

/* ---- adding ---- */

struct known {
    const char *model;
    const char *version;
    uint64_t number;
    const char *digest_new;
    uint64_t number_max;
    /* digest of the release with the same version; "": there is none */
    char digest[FLO_DIGEST_TEXT];
    /* version of another release with the same number; "": there is none */
    char same_number[FLO_NAME_MAX + 1];
};

static int look_known(void *context, const struct flo_fleet_release *release)
{
    struct known *known = context;

    if (strcmp(release->model, known->model) != 0) {
        return 0;
    }
    if (release->number > known->number_max) {
        known->number_max = release->number;
    }
    if (release->number == known->number && strcmp(release->digest, known->digest_new) != 0) {
        snprintf(known->same_number, sizeof(known->same_number), "%s", release->version);
    }
    if (strcmp(release->version, known->version) == 0) {
        snprintf(known->digest, sizeof(known->digest), "%s", release->digest);
    }
    return 0;
}

struct brings {
    const struct flo_controller *controller;
    const char *release;
};

static int note_brings(void *context, const struct flo_digest *digest, struct flo_err *err)
{
    const struct brings *brings = context;
    char text[FLO_DIGEST_TEXT];

    flo_artifact_is_wanted(brings->controller, digest);
    flo_digest_text(digest, text);
    return flo_fleet_release_brings(brings->controller->store, brings->release, text, err);
}

static int store_release(struct flo_rest_call *call, const struct flo_release_verified *verified,
                         const char *digest, struct flo_err *err)
{
    const struct flo_release *release = &verified->release;
    struct flo_fleet_release row = {.model = release->model,
                                    .version = release->version,
                                    .number = release->number,
                                    .digest = digest,
                                    .state = "draft",
                                    .body = verified->body,
                                    .bytes = full_bytes(release),
                                    .created_at_ms = flo_wall_ms()};
    flo_telemetry_link_release(call->controller, &row);
    flo_rollouts_release_added(call->controller, release->model);
    flo_collect_again(call->controller);
    struct brings brings = {call->controller, digest};
    FLO_TRY(flo_fleet_release_add(call->controller->store, &row, err));
    return flo_offer_each(release, note_brings, &brings, err);
}

/* Checks a new release against the known releases of its model. */
static int check_new(const struct flo_release *release, const struct known *known,
                     const char *title, struct flo_err *err)
{
    uint64_t number_max = known->number_max;

    if (known->same_number[0] != '\0') {
        flo_fail(err, FLO_E_META_EQUIVOCATION,
                 "%s has number %llu, which %s has already: two documents "
                 "were signed with one number",
                 title, (unsigned long long)release->number, known->same_number);
        return flo_err_fix(err, "look who signs; publish it with number %llu",
                           (unsigned long long)(number_max + 1));
    }
    if (known->digest[0] != '\0') {
        return flo_fail(err, FLO_E_RELEASE_EXISTS, "%s is there already with other bytes", title);
    }
    if (release->number <= number_max) {
        return flo_fail(err, FLO_E_RELEASE_EXISTS,
                        "%s has number %llu, the newest release of %s has "
                        "%llu",
                        title, (unsigned long long)release->number, release->model,
                        (unsigned long long)number_max);
    }
    if (release->number - number_max > FLO_RELEASE_JUMP_MAX) {
        return flo_fail(err, FLO_E_META_VERSION_JUMP,
                        "%s has number %llu, at most %llu may follow %llu", title,
                        (unsigned long long)release->number,
                        (unsigned long long)(number_max + FLO_RELEASE_JUMP_MAX),
                        (unsigned long long)number_max);
    }
    return 0;
}

/* Refuses a release whose licence this controller does not allow. */
static int check_license(const struct flo_rest_call *call, const struct flo_release *release,
                         struct flo_err *err)
{
    const char *list = call->controller->options.allow_licence;
    char refused[FLO_LICENSE_BYTES_MAX + 1];

    if (list == NULL || flo_license_is_allowed(list, release->license, refused, sizeof(refused))) {
        return 0;
    }
    return refused[0] == '\0' ? flo_fail(err, FLO_E_RELEASE_LICENCE,
                                         "%s@%s names no licence; this controller allows %s",
                                         release->model, release->version, list)
                              : flo_fail(err, FLO_E_RELEASE_LICENCE,
                                         "%s@%s has the licence %s; this controller allows %s",
                                         release->model, release->version, refused, list);
}

static int add_verified(struct flo_rest_call *call, const struct flo_release_verified *verified,
                        const char *envelope, struct flo_err *err)
{
    const struct flo_release *release = &verified->release;
    char digest[FLO_DIGEST_TEXT];
    char title[2 * FLO_NAME_MAX + 2];
    struct known known = {.model = release->model,
                          .version = release->version,
                          .number = release->number,
                          .digest_new = digest};

    flo_digest_text(&verified->digest, digest);
    flo_release_title(release, title);
    FLO_TRY(flo_fleet_release_page(call->controller->store, release->model, NULL, 0, 0, look_known,
                                   &known, err));
    if (strcmp(known.digest, digest) == 0) {
        call->status = 200;
    } else {
        FLO_TRY(check_new(release, &known, title, err));
        FLO_TRY(store_release(call, verified, digest, err));
    }
    /* The envelope is verified, so it may replace the stored one.  The release
     * was signed again, perhaps with a new key. */
    FLO_TRY(flo_fleet_envelope_put(call->controller->store, digest, envelope, err));
    flo_outgoing_change(call->controller, FLO_OBJECT_RELEASE, title);
    FLO_TRY(flo_fleet_release_get(call->controller->store, release->model, release->version,
                                  take_view, call, err));
    show_gone(call, release);
    return 0;
}

int flo_rest_release_add(struct flo_rest_call *call, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup)
    struct flo_release_verified *verified = calloc(1, sizeof(*verified));
    size_t bytes;
    const char *body = flo_httpd_body(call->request, &bytes);

    if (verified == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release");
    }
    FLO_TRY(flo_release_verify_draft(body, bytes, call->controller->trust, verified, err));
    int rv = check_license(call, &verified->release, err);
    if (rv == 0) {
        rv = add_verified(call, verified, body, err);
    }
    flo_release_verified_deinit(verified);
    return rv;
}

/* ---- publishing and yanking ---- */

struct found {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char digest[FLO_DIGEST_TEXT];
    char state[16];
    struct flo_release *release;
    struct flo_err *err;
};

static int take_found(void *context, const struct flo_fleet_release *release)
{
    struct found *found = context;

    snprintf(found->digest, sizeof(found->digest), "%s", release->digest);
    snprintf(found->state, sizeof(found->state), "%s", release->state);
    return flo_release_new(release->body, strlen(release->body), NULL, &found->release, found->err);
}

static int find(struct flo_rest_call *call, struct found *found, struct flo_err *err)
{
    FLO_TRY(flo_release_title_parse(flo_httpd_param(call->request, "name"), found->model,
                                    found->version, err));
    found->err = err;
    FLO_TRY(flo_fleet_release_get(call->controller->store, found->model, found->version, take_found,
                                  found, err));
    tag(call, found->digest, found->state);
    int rv = flo_rest_match(call, flo_httpd_param(call->request, "name"), err);
    if (rv < 0) {
        flo_release_free(found->release);
    }
    return rv;
}

static int show_changed(struct flo_rest_call *call, const struct found *found, struct flo_err *err)
{
    flo_outgoing_change(call->controller, FLO_OBJECT_RELEASE,
                        flo_httpd_param(call->request, "name"));
    return flo_fleet_release_get(call->controller->store, found->model, found->version, take_view,
                                 call, err);
}

int flo_rest_release_publish(struct flo_rest_call *call, struct flo_err *err)
{
    struct found found = {0};

    FLO_TRY(find(call, &found, err));
    struct gone gone = find_gone(call->controller, found.release);
    FLO_CLEANUP(flo_json_cleanup) json_t *missing = gone.missing;
    json_decref(gone.collected);
    int rv = check_license(call, found.release, err);
    flo_release_free(found.release);
    FLO_TRY(rv);
    if (strcmp(found.state, "yanked") == 0) {
        return flo_fail(err, FLO_E_RELEASE_YANKED, "%s was withdrawn",
                        flo_httpd_param(call->request, "name"));
    }
    FLO_TRY(flo_trust_check_release(call->controller, found.digest, err));
    if (json_array_size(missing) > 0) {
        flo_fail(err, FLO_E_BUNDLE_MISSING, "%zu artifact%s %s, the first is %s",
                 json_array_size(missing), flo_s(json_array_size(missing)),
                 flo_plural(json_array_size(missing), "misses", "miss"),
                 json_string_value(json_array_get(missing, 0)));
        flo_err_fix(err, "upload them: PUT /v1/blobs/{digest}");
        return FLO_E_BUNDLE_MISSING;
    }
    if (!flo_depot_has_all(call->controller->depot)) {
        flo_fail(err, FLO_E_REST_LIMIT, "the store of artifacts has not all of what is here yet");
        return flo_err_fix(err, "ask again soon; `blobs` of /readyz and the "
                                "controller's log say how it is going");
    }
    FLO_TRY(flo_fleet_release_state(call->controller->store, found.digest, "published", err));
    return show_changed(call, &found, err);
}

int flo_rest_release_yank(struct flo_rest_call *call, struct flo_err *err)
{
    struct found found = {0};
    struct flo_digest digest;
    char note[96];

    FLO_TRY(find(call, &found, err));
    flo_release_free(found.release);
    snprintf(note, sizeof(note), "yanked by %s", call->name);
    FLO_TRY(flo_digest_parse(found.digest, &digest)
                ? flo_orders_withdraw(call->controller, &digest, "", note, err)
                : FLO_E_DB);
    return show_changed(call, &found, err);
}

int flo_rest_release_unyank(struct flo_rest_call *call, struct flo_err *err)
{
    struct found found = {0};

    FLO_TRY(find(call, &found, err));
    flo_release_free(found.release);
    if (strcmp(found.state, "yanked") != 0) {
        return flo_fail(err, FLO_E_STATE, "%s is %s, not yanked",
                        flo_httpd_param(call->request, "name"), found.state);
    }
    FLO_TRY(flo_orders_unyank(call->controller, found.digest, err));
    return show_changed(call, &found, err);
}

/* ---- reading ---- */

static int add_release(void *context, const struct flo_fleet_release *release)
{
    struct flo_rest_page *page = context;

    if (flo_rest_page_takes(page)) {
        json_array_append_new(page->items, flo_object_release(release, false));
        if (flo_rest_page_is_full(page)) {
            snprintf(page->last, sizeof(page->last), "%s@%llu", release->model,
                     (unsigned long long)release->number);
        }
    }
    return 0;
}

int flo_rest_releases(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rest_page page = {.items = json_array(),
                                 .limit = flo_rest_number(call, "limit", 1000)};
    char model[FLO_CURSOR_TEXT];
    uint64_t number;
    int rv = flo_rest_cursor(call, '@', model, &number, err);

    if (rv == 0) {
        rv = flo_fleet_release_page(
            call->controller->store, flo_httpd_query(call->request, "model"),
            model[0] != '\0' ? model : NULL, number, page.limit + 1, add_release, &page, err);
    }
    flo_rest_page_end(call, &page);
    return rv;
}

int flo_rest_release(struct flo_rest_call *call, struct flo_err *err)
{
    struct found found = {0};

    FLO_TRY(find(call, &found, err));
    int rv = flo_fleet_release_get(call->controller->store, found.model, found.version, take_view,
                                   call, err);
    if (rv == 0) {
        show_gone(call, found.release);
    }
    flo_release_free(found.release);
    return rv;
}
