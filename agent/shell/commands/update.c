/* Update: installs the releases of a bundle one after the other, each with its
 * own result.
 *
 * The next release begins when the one before it serves on trial.  If both are
 * of one model, it begins when that trial has ended, because it would replace
 * the release on trial.  A failure ends only its own release.  A release that
 * is only a step to another one is skipped when that one is already current. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/release.h>

#include "agent/shell/commands/commands.h"
#include "agent/shell/identity/identity.h"
#include "agent/shell/loop.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/trust/trust.h"

/* result of a reader that stopped after the bundle's documents; none of the
 * FLO_E_ codes */
#define HEAD_READ (-100000)
/* result of a reader that stopped after the bundle's trust statements; none of
 * the FLO_E_ codes */
#define TRUST_READ (-100001)

struct update {
    char bundle[256];
    char state_dir[4096];
    struct flo_release_ref releases[FLO_BUNDLE_RELEASES_MAX];
    uint32_t count;
    struct flo_agent_execution execution; /* installation under way */
    /* the command waits until the trial of the release that it installs has
     * ended */
    bool is_to_end;
    bool is_quiet;
    json_t *trust;   /* trust statements of the bundle */
    json_t *newest;  /* newest statement of the bundle; NULL: none */
    json_t *ids;     /* ids of its releases */
    json_t *request; /* question to the agent, which answers it */
    json_t *told;    /* results for a program, one for each release; NULL: lines for people */
};

/* ---- which releases are in it? ---- */

static int take_head(void *context, const struct flo_release_verified *verified,
                     const void *envelope, size_t bytes, struct flo_err *err)
{
    struct update *update = context;
    struct flo_release_ref *ref = &update->releases[update->count++];

    (void)envelope, (void)bytes, (void)err;
    ref->digest = verified->digest;
    json_array_append_new(update->ids, flo_json_digest(&ref->digest));
    memcpy(ref->model, verified->release.model, sizeof(ref->model));
    memcpy(ref->version, verified->release.version, sizeof(ref->version));
    return 0;
}

static int stop_at_blob(void *context, const struct flo_digest *digest, uint64_t bytes,
                        bool *wanted, struct flo_err *err)
{
    (void)context, (void)digest, (void)bytes, (void)wanted, (void)err;
    return HEAD_READ;
}

static int take_statements(void *context, const char *text, size_t bytes, struct flo_err *err)
{
    struct update *update = context;

    FLO_TRY(flo_json_parse(text, bytes, FLO_BUNDLE_TRUST_BYTES_MAX, &update->trust, err));
    return TRUST_READ;
}

/* Gives the bundle's trust statements to the device before its releases,
 * because their keys may sign the releases. */
static int give_statements(const struct flo_args *args, struct update *update, struct flo_err *err)
{
    json_t *list = NULL;
    int rv = flo_json_get_array(update->trust, "statements", 64, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
        rv = flo_give_trust(args, json_array_get(list, i), &answer, err);
    }
    update->newest = json_incref(json_object_get(update->trust, "newest"));
    json_decref(update->trust);
    update->trust = NULL;
    return rv < 0 ? flo_wrap(err, rv, "trust.json of the bundle") : 0;
}

static int read_bundle(const struct flo_args *args, const struct flo_settings *settings,
                       struct update *update, struct flo_err *err)
{
    struct flo_bundle_handlers handlers = {.context = update,
                                           .on_trust = take_statements,
                                           .on_release = take_head,
                                           .on_blob = stop_at_blob};
    struct flo_bundle_facts facts;
    struct flo_identity identity;
    int rv = HEAD_READ;

    /* A bundle with trust statements is read twice: the second time with their
     * keys. */
    for (bool is_first = true; rv == TRUST_READ || is_first; is_first = false) {
        rv = flo_identity_load(settings, &identity, err);
        if (rv == 0 && identity.trust == NULL) {
            rv = flo_fail(err, FLO_E_STATE, "%s has no trusted keys", settings->state_dir);
            flo_err_fix(err, "flotilla-agent enroll, or put trust.json there");
        }
        if (rv == 0) {
            rv = flo_bundle_read(update->bundle, identity.trust, &handlers, &facts, err);
        }
        flo_identity_deinit(&identity);
        handlers.on_trust = NULL;
        if (rv == TRUST_READ) {
            int given = give_statements(args, update, err);
            rv = given < 0 ? given : TRUST_READ;
        }
    }
    return rv == HEAD_READ ? 0 : rv;
}

/* Reads the names of the bundle's releases.  The sandboxed worker verifies the
 * whole bundle later. */
static int read_head(const struct flo_args *args, struct update *update, struct flo_err *err)
{
    struct flo_settings settings;
    char path[4096];
    const char *bundle = flo_args_text(args, "bundle", "");

    FLO_TRY(flo_run_settings(args, &settings, err));
    if (realpath(bundle, path) == NULL || strlen(path) >= sizeof(update->bundle)) {
        flo_settings_deinit(&settings);
        return flo_fail_errno(err, FLO_E_IO_OPEN, "bundle %s", bundle);
    }
    snprintf(update->bundle, sizeof(update->bundle), "%.255s", path);
    snprintf(update->state_dir, sizeof(update->state_dir), "%.4000s", settings.state_dir);
    int rv = read_bundle(args, &settings, update, err);
    flo_settings_deinit(&settings);
    return rv;
}

/* ---- one release ---- */

static int begin_update(struct flo_shell *shell, void *context, struct flo_err *err)
{
    const struct update *update = context;

    FLO_TRY(flo_shell_newest_bundle(shell, update->request, err));
    flo_alone_wait_to_end(shell, update->is_to_end);
    return flo_loop_install(shell, &update->execution, err);
}

static void show_state(const json_t *line, void *context)
{
    const struct update *update = context;
    const char *state = json_string_value(json_object_get(line, "state"));

    if (!update->is_quiet && state != NULL) {
        fprintf(stderr, " · %s\n", state);
    }
}

static int verdict(const json_t *answer, struct flo_err *err)
{
    const char *state = json_string_value(json_object_get(answer, "state"));
    enum flo_execution word;

    FLO_TRY(flo_answer_error(answer, err));
    if (state == NULL || !flo_execution_parse(state, &word)) {
        return flo_fail(err, FLO_E_INTERNAL, "no state in the answer");
    }
    return flo_execution_is_end(word) && flo_execution_kind(word) != FLO_EXECUTION_END_GOOD
               ? flo_fail(err, FLO_E_STATE, "%s", state)
               : 0;
}

static void show_answer(struct update *update, json_t *answer)
{
    const json_t *detail = json_object_get(answer, "detail");
    const char *codec = json_string_value(json_object_get(detail, "codec"));

    if (update->told != NULL) {
        json_array_append(update->told, answer);
        return;
    }
    printf("%s %s: %s, %lld bytes read (%s)\n", json_string_value(json_object_get(answer, "model")),
           json_string_value(json_object_get(answer, "version")),
           json_string_value(json_object_get(answer, "state")),
           (long long)json_integer_value(json_object_get(detail, "bytes")),
           codec == NULL ? "nothing new" : codec);
}

/* Returns the next release of the same model in the bundle; NULL: there is
 * none. */
static const struct flo_release_ref *later_of(const struct update *update, uint32_t index)
{
    const char *model = update->releases[index].model;

    for (uint32_t i = index + 1; i < update->count; i++) {
        if (strcmp(update->releases[i].model, model) == 0) {
            return &update->releases[i];
        }
    }
    return NULL;
}

/* Reads the model's current release from its record on the disk; zero: none. */
static struct flo_digest read_current(const struct update *update, const char *model)
{
    struct flo_digest none = {.bytes = {0}};
    struct flo_store *store = NULL;
    struct flo_slots slots;
    char path[4200];

    snprintf(path, sizeof(path), "%s/slots/%s.bin", update->state_dir, model);
    /* opening the store could create files, so the record must exist */
    if (access(path, R_OK) != 0 || flo_store_open(update->state_dir, false, &store, NULL) < 0) {
        return none;
    }
    int rv = flo_store_slots_read(store, model, &slots, NULL);
    flo_store_close(store);
    return rv == 0 ? slots.current : none;
}

/* Returns a later release of the same model in the bundle that is already
 * current; NULL: there is none. */
static const struct flo_release_ref *already(const struct update *update, uint32_t index)
{
    const struct flo_release_ref *release = &update->releases[index];
    struct flo_digest current = {.bytes = {0}};

    if (later_of(update, index) != NULL) {
        current = read_current(update, release->model);
    }
    for (uint32_t i = index + 1; i < update->count; i++) {
        if (strcmp(update->releases[i].model, release->model) == 0 &&
            flo_digest_equal(&update->releases[i].digest, &current)) {
            return &update->releases[i];
        }
    }
    return NULL;
}

/* Installs one release.  *is_told: the device answered with a result, good or
 * bad. */
static int install(const struct flo_args *args, struct update *update, uint32_t index,
                   bool *is_told, struct flo_err *err)
{
    const struct flo_release_ref *release = &update->releases[index];
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    char digest[FLO_DIGEST_TEXT];

    memset(&update->execution, 0, sizeof(update->execution));
    update->execution.release = *release;
    memcpy(update->execution.bundle, update->bundle, sizeof(update->bundle));
    update->is_to_end = later_of(update, index) != NULL;
    flo_digest_text(&release->digest, digest);
    update->request = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:O, s:O*}", "v", 1, "op", "update", "bundle",
        update->bundle, "release", digest, "model", release->model, "version", release->version,
        "to_end", (int)update->is_to_end, "releases", update->ids, "newest", update->newest);
    int rv = flo_ask(args, update->request, show_state, begin_update, update, &answer, err);
    *is_told = rv == 0;
    if (rv == 0) {
        rv = verdict(answer, err);
    }
    if (rv == 0) {
        show_answer(update, answer);
    }
    return rv;
}

/* ---- all ---- */

/* Reports a failed release.  With several releases, each failure is printed at
 * once, and the first one is also the error of the command. */
static void tell_failure(struct update *update, const struct flo_release_ref *release,
                         const struct flo_err *err)
{
    if (update->told != NULL) {
        json_array_append_new(update->told,
                              json_pack("{s:s, s:s, s:o}", "model", release->model, "version",
                                        release->version, "error", flo_tell_error(err)));
    } else if (update->count > 1) {
        printf("%s %s: %s: %s\n", release->model, release->version, flo_error_id(err->code),
               err->what);
    }
}

static void tell_passed(struct update *update, const struct flo_release_ref *release,
                        const struct flo_release_ref *current)
{
    if (update->told != NULL) {
        json_array_append_new(update->told,
                              json_pack("{s:s, s:s, s:s}", "model", release->model, "version",
                                        release->version, "passed_over", current->version));
        return;
    }
    printf("%s %s: passed over, %s is current\n", release->model, release->version,
           current->version);
}

static int update(void *line, struct flo_err *err)
{
    static struct update update;
    const struct flo_args *args = line;
    bool is_told = true;

    update.ids = json_array();
    int rv = read_head(args, &update, err);

    update.is_quiet = flo_args_has(args, "quiet") || !isatty(2);
    update.told = args->is_json ? json_array() : NULL;
    for (uint32_t i = 0; is_told && i < update.count && (rv == 0 || i > 0); i++) {
        struct flo_err why = {0};
        const struct flo_release_ref *current = already(&update, i);
        if (current != NULL) {
            tell_passed(&update, &update.releases[i], current);
            continue;
        }
        int one = install(args, &update, i, &is_told, &why);
        if (one == 0) {
            continue;
        }
        tell_failure(&update, &update.releases[i], &why);
        if (update.count > 1) {
            one =
                flo_wrap(&why, one, "%s %s", update.releases[i].model, update.releases[i].version);
        }
        if (rv == 0) {
            *err = why;
            rv = one;
        }
    }
    flo_tell_several("releases", update.told, rv, err);
    return rv;
}

static const struct flo_flag update_flags[] = {
    {"bundle", "FILE", "its releases; a running service sees no /tmp, /home", FLO_ASKED,
     .is_needed = true},
    {"quiet", NULL, "no progress on stderr", FLO_ASKED, .letter = 'q'},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_update = {
    .name = "update",
    .usage = "--bundle FILE [-q] [-o json]",
    .help = "install the releases of a file, one after the other",
    .flags = {update_flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = update,
    .example = "--bundle helpdesk.bundle",
    .more = "-o json: {\"releases\": [...]}, with an \"error\" where one failed.\n",
};
