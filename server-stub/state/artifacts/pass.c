/* Pass: one pass of the garbage collection over the artifacts.
 *
 * The pass lists the releases and reads the devices' reports.  It then finds
 * out which files devices may have, and which files of each release they may
 * still need.  At last it removes all other files of the folder. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <flotilla/plural.h>

#include "server-stub/core/artifacts/use.h"
#include "server-stub/state/artifacts/pass.h"
#include "server-stub/state/controller.h"

#define LISTED 64 /* number of releases that one step lists */
#define ASKED 4   /* number of device reports that one step reads */
/* Number of digests at a list's end that are compared with a new one, so that
 * repetitions are left out. */
#define JUST_SEEN 16

struct row {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char digest[FLO_DIGEST_TEXT];
    uint64_t number;
    enum flo_use_deltas deltas;
    bool is_published, is_held;
};

struct entry {
    struct flo_digest digest;
    bool is_mark;
};

enum phase { LIST, ASK, HOLD, JUDGE, TELL, SWEEP, DONE };

struct flo_collect_pass {
    struct flo_controller *controller;
    enum phase phase;
    size_t at;              /* index of the next item in the list that the
                               present step of the pass reads */
    uint64_t young_from_ms; /* time, by the wall clock, from which on files are young and stay */
    struct row *rows;
    size_t row_count, row_room;
    bool is_failed;               /* no memory */
    char device[37];              /* id of the last device whose report was read */
    size_t asked;                 /* by this step */
    struct flo_digest_list slots; /* digests of the releases that devices have,
                                     as they report */
    struct flo_use use;
    struct entry *entries;
    size_t entry_count, entry_room;
    char folder[FLO_ARTIFACT_PATH];
    bool is_dry;
    flo_collect_fn fn; /* NULL: no callback */
    void *context;
    struct flo_artifact_counts counts;
};

void flo_pass_free(struct flo_collect_pass *pass)
{
    if (pass != NULL) {
        flo_use_deinit(&pass->use);
        flo_digest_list_deinit(&pass->slots);
        free(pass->rows);
        free(pass->entries);
        free(pass);
    }
}

/* ---- releases ---- */

static int take_row(void *context, const struct flo_fleet_release *release)
{
    struct flo_collect_pass *pass = context;

    if (!flo_grow(&pass->rows, &pass->row_room, pass->row_count, sizeof(*pass->rows))) {
        pass->is_failed = true;
        return 1;
    }
    struct row *row = &pass->rows[pass->row_count++];
    *row = (struct row){.number = release->number,
                        .is_published = strcmp(release->state, "published") == 0,
                        .deltas = strcmp(release->state, "draft") == 0 ||
                                          release->created_at_ms >= pass->young_from_ms
                                      ? FLO_USE_ALL
                                  : strcmp(release->state, "yanked") == 0 ? FLO_USE_NONE
                                                                          : FLO_USE_HELD};
    snprintf(row->model, sizeof(row->model), "%s", release->model);
    snprintf(row->version, sizeof(row->version), "%s", release->version);
    snprintf(row->digest, sizeof(row->digest), "%s", release->digest);
    return 0;
}

/* Marks each model's newest releases as possibly on devices.  The list is
 * sorted by model and number. */
static void hold_newest(struct flo_collect_pass *pass)
{
    unsigned newest = 0;

    for (size_t i = pass->row_count; i-- > 0;) {
        struct row *row = &pass->rows[i];
        if (i + 1 < pass->row_count && strcmp(row->model, pass->rows[i + 1].model) != 0) {
            newest = 0;
        }
        if (row->is_published && newest < FLO_USE_NEWEST) {
            row->is_held = true;
            newest++;
        }
    }
}

static int list_more(struct flo_collect_pass *pass, struct flo_err *err)
{
    size_t before = pass->row_count;
    const struct row *last = before > 0 ? &pass->rows[before - 1] : NULL;
    char model[FLO_NAME_MAX + 1];

    snprintf(model, sizeof(model), "%s", last != NULL ? last->model : "");
    int rv = flo_fleet_release_page(pass->controller->store, NULL, last != NULL ? model : NULL,
                                    last != NULL ? last->number : 0, LISTED, take_row, pass, err);
    if (pass->is_failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu releases", pass->row_count);
    }
    if (rv == 0 && pass->row_count - before < LISTED) {
        hold_newest(pass);
        pass->phase = ASK;
    }
    return rv;
}

/* ---- devices ---- */

/* Adds a release, unless it is among the last few that were added: neighbouring
 * devices mostly have the same releases. */
static void add_slot(struct flo_digest_list *slots, const struct flo_digest *digest)
{
    size_t seen = slots->count < JUST_SEEN ? slots->count : JUST_SEEN;

    if (seen == 0 || !flo_digest_is_among(digest, slots->items + slots->count - seen, seen)) {
        flo_digest_list_add(slots, digest);
    }
}

/* Adds the releases that a device reports for each of its models, even if the
 * model serves nothing. */
static int take_device(void *context, const struct flo_fleet_device *device)
{
    static const char *const names[] = {"current", "previous", "candidate"};
    struct flo_collect_pass *pass = context;
    json_t *report = json_loads(device->reported, 0, NULL);
    struct flo_digest digest;
    json_t *model;
    size_t i;

    snprintf(pass->device, sizeof(pass->device), "%s", device->id);
    pass->asked++;
    json_array_foreach(json_object_get(report, "models"), i, model)
    {
        for (size_t s = 0; s < FLO_COUNT(names); s++) {
            const char *text =
                json_string_value(json_object_get(json_object_get(model, names[s]), "release"));
            if (text != NULL && flo_digest_parse(text, &digest)) {
                add_slot(&pass->slots, &digest);
            }
        }
    }
    json_decref(report);
    return 0;
}

static int ask_more(struct flo_collect_pass *pass, struct flo_err *err)
{
    char after[sizeof(pass->device)];

    memcpy(after, pass->device, sizeof(after));
    pass->asked = 0;
    int rv = flo_fleet_device_list(
        pass->controller->store,
        &(struct flo_fleet_device_filter){
            .after = after[0] != '\0' ? after : NULL, .online = -1, .limit = ASKED},
        take_device, pass, err);
    FLO_TRY(rv);
    if (pass->asked == ASKED) {
        return rv;
    }
    pass->phase = HOLD;
    flo_digest_list_sort(&pass->slots);
    return pass->slots.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for slots of devices") : 0;
}

/* ---- documents ---- */

/* Loads a release.  Returns NULL if the release's document cannot be read,
 * because then its artifacts are not known. */
static struct flo_release *load(struct flo_collect_pass *pass, const struct row *row,
                                struct flo_err *err)
{
    struct flo_release *release = flo_controller_release(pass->controller, NULL, row->digest);

    if (release == NULL) {
        flo_fail(err, FLO_E_IO_READ, "the document of %s@%s cannot be read: nothing is collected",
                 row->model, row->version);
    }
    return release;
}

static int hold(struct flo_collect_pass *pass, const struct row *row, struct flo_err *err)
{
    struct flo_digest digest;
    bool is_held = row->is_held || !flo_digest_parse(row->digest, &digest) ||
                   flo_digest_list_has(&pass->slots, &digest);
    struct flo_release *release = is_held ? load(pass, row, err) : NULL;

    if (!is_held) {
        return 0;
    }
    if (release == NULL) {
        return FLO_E_IO_READ;
    }
    flo_use_hold(&pass->use, release);
    flo_release_free(release);
    return 0;
}

static int judge(struct flo_collect_pass *pass, const struct row *row, struct flo_err *err)
{
    struct flo_release *release = load(pass, row, err);

    if (release == NULL) {
        return FLO_E_IO_READ;
    }
    flo_use_judge(&pass->use, release, row->deltas);
    flo_release_free(release);
    return 0;
}

/* Reports the deltas of a release that are removed to the caller's callback.  A
 * delta of an intermediate step is left out, because it belongs to another
 * release. */
static int tell(struct flo_collect_pass *pass, const struct row *row, struct flo_err *err)
{
    struct flo_release *release = load(pass, row, err);
    char title[2 * FLO_NAME_MAX + 2];

    if (release == NULL) {
        return FLO_E_IO_READ;
    }
    flo_release_title(release, title);
    for (uint32_t f = 0; f < release->file_count; f++) {
        const struct flo_release_file *file = &release->files[f];
        for (uint32_t w = 0; !flo_release_is_step(file) && w < file->way_count; w++) {
            const struct flo_way *way = &file->ways[w];
            if (!flo_use_needs(&pass->use, &way->digest) &&
                flo_artifact_is_here(pass->controller, &way->digest)) {
                pass->fn(pass->context, &way->digest, title, file->name, way->bytes);
            }
        }
    }
    flo_release_free(release);
    return 0;
}

/* ---- the folder ---- */

static bool read_name(const char *name, struct entry *out)
{
    static const char prefix[] = "sha256-";
    size_t hex = 2 * FLO_DIGEST_BYTES;
    size_t bytes = strlen(name);
    const char *ending = name + sizeof(prefix) - 1 + hex;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 || bytes < sizeof(prefix) - 1 + hex ||
        !flo_hex_decode(name + sizeof(prefix) - 1, out->digest.bytes, FLO_DIGEST_BYTES)) {
        return false;
    }
    out->is_mark = strcmp(ending, FLO_COLLECTED_ENDING) == 0;
    return out->is_mark || ending[0] == '\0';
}

static int list_folder(struct flo_collect_pass *pass, struct flo_err *err)
{
    const struct dirent *entry;
    struct entry found;
    bool names_one = false;
    size_t files = 0;
    DIR *dir = opendir(pass->folder);

    if (dir == NULL) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", pass->folder);
    }
    while ((entry = readdir(dir)) != NULL) {
        if (!read_name(entry->d_name, &found)) {
            continue;
        }
        if (!flo_grow(&pass->entries, &pass->entry_room, pass->entry_count,
                      sizeof(*pass->entries))) {
            closedir(dir);
            return flo_fail(err, FLO_E_MEMORY, "no memory for %zu files", pass->entry_count);
        }
        pass->entries[pass->entry_count++] = found;
        files += found.is_mark ? 0 : 1;
        names_one = names_one || flo_use_names(&pass->use, &found.digest);
    }
    closedir(dir);
    if (files > 0 && !names_one) {
        flo_fail(err, FLO_E_STATE,
                 "the database names none of the %zu file%s in %s: nothing is "
                 "collected",
                 files, flo_s(files), pass->folder);
        return flo_err_fix(err, "see that --data and --store are of one fleet");
    }
    return 0;
}

static int sweep_file(struct flo_collect_pass *pass, const struct flo_digest *digest,
                      struct flo_err *err)
{
    struct flo_artifact_counts *counts = &pass->counts;
    char path[FLO_ARTIFACT_PATH];
    struct stat st;
    bool is_named = flo_use_names(&pass->use, digest);

    if (!flo_artifact_path(pass->controller, digest, path) || lstat(path, &st) < 0 ||
        !S_ISREG(st.st_mode)) {
        return 0; /* the file was deleted meanwhile, or is no artifact */
    }
    uint64_t bytes = (uint64_t)st.st_size;
    bool is_young = (uint64_t)st.st_mtim.tv_sec * 1000 >= pass->young_from_ms;
    if (is_named ? flo_use_needs(&pass->use, digest) : is_young) {
        counts->files++;
        counts->bytes += bytes;
        return 0;
    }
    counts->deltas += is_named ? 1 : 0;
    counts->delta_bytes += is_named ? bytes : 0;
    counts->unnamed += is_named ? 0 : 1;
    counts->unnamed_bytes += is_named ? 0 : bytes;
    if (!is_named && pass->fn != NULL) {
        pass->fn(pass->context, digest, NULL, NULL, bytes);
    }
    return pass->is_dry ? 0 : flo_artifact_collect(pass->controller, digest, is_named, err);
}

static int sweep(struct flo_collect_pass *pass, const struct entry *entry, struct flo_err *err)
{
    if (!entry->is_mark) {
        return sweep_file(pass, &entry->digest, err);
    }
    if (!pass->is_dry && !flo_use_names(&pass->use, &entry->digest)) {
        flo_artifact_is_wanted(pass->controller, &entry->digest);
    }
    return 0;
}

/* ---- a pass ---- */

uint64_t flo_collect_kept_ms(const struct flo_controller *controller)
{
    uint64_t kept_ms = controller->options.unused_kept_ms;

    return kept_ms != 0 ? kept_ms : FLO_UNUSED_KEPT_MS;
}

struct flo_collect_pass *flo_pass_new(struct flo_controller *controller, bool is_dry,
                                      flo_collect_fn fn, void *context, struct flo_err *err)
{
    struct flo_collect_pass *pass = calloc(1, sizeof(*pass));
    uint64_t kept_ms = flo_collect_kept_ms(controller);
    uint64_t now_ms = flo_wall_ms();

    if (pass == NULL ||
        !flo_path_join(pass->folder, sizeof(pass->folder), controller->dir, "blobs")) {
        free(pass);
        flo_fail(err, FLO_E_MEMORY, "no memory for a collection");
        return NULL;
    }
    pass->controller = controller;
    pass->is_dry = is_dry;
    pass->fn = fn;
    pass->context = context;
    pass->young_from_ms = now_ms > kept_ms ? now_ms - kept_ms : 0;
    return pass;
}

static int end_judging(struct flo_collect_pass *pass, struct flo_err *err)
{
    FLO_TRY(flo_use_sort(&pass->use, err));
    return list_folder(pass, err);
}

/* Syncs the folder, so that removed files stay removed after a power cut. */
static int end_sweep(struct flo_collect_pass *pass, struct flo_err *err)
{
    const struct flo_artifact_counts *counts = &pass->counts;

    pass->counts.at_ms = flo_wall_ms();
    return pass->is_dry || counts->deltas + counts->unnamed == 0 ? 0
                                                                 : flo_dir_sync(pass->folder, err);
}

/* Starts the next phase of the pass when the present phase has processed its
 * list. */
static int go_on(struct flo_collect_pass *pass, struct flo_err *err)
{
    int rv = 0;

    pass->at = 0;
    if (pass->phase == JUDGE) {
        rv = end_judging(pass, err);
    } else if (pass->phase == SWEEP) {
        rv = end_sweep(pass, err);
    }
    pass->phase++;
    if (pass->phase == TELL && pass->fn == NULL) {
        pass->phase++;
    }
    return rv;
}

int flo_pass_step(struct flo_collect_pass *pass, struct flo_err *err)
{
    static int (*const of_row[])(struct flo_collect_pass *, const struct row *,
                                 struct flo_err *) = {
        [HOLD] = hold, [JUDGE] = judge, [TELL] = tell};
    size_t count = pass->phase == SWEEP ? pass->entry_count : pass->row_count;

    if (pass->phase == LIST || pass->phase == ASK) {
        return pass->phase == LIST ? list_more(pass, err) : ask_more(pass, err);
    }
    if (pass->at == count) {
        return go_on(pass, err);
    }
    size_t at = pass->at++;
    return pass->phase == SWEEP ? sweep(pass, &pass->entries[at], err)
                                : of_row[pass->phase](pass, &pass->rows[at], err);
}

bool flo_pass_is_done(const struct flo_collect_pass *pass)
{
    return pass->phase == DONE;
}

const struct flo_artifact_counts *flo_pass_counts(const struct flo_collect_pass *pass)
{
    return &pass->counts;
}
