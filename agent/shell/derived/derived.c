/* Derived artifacts: makes and checks packed weights, and opens prefix files;
 * see derived.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/derived/hashing.h"
#include "agent/shell/derived/memory.h"
#include "agent/shell/device/device.h"
#include "agent/shell/queue/timers.h"

#define PACK_TOTAL_MS_MAX 900000
#define PACK_IDLE_MS_MIN 5000 /* shortest time without progress after which a packer is ended */
/* divisor: a packer may make no progress for this part of `hang`, or for
 * PACK_IDLE_MS_MIN if that is longer */
#define HANG_PARTS 12
#define AGAIN_MS 100

struct flo_deriving {
    struct flo_shell *shell;
    struct flo_derived_spec spec;
    struct flo_hashing *hashing;
    /* timer of the next try to pack, which waits until a killed process has
     * ended */
    struct event *again;
    struct serve_packer *packer;
    int packed_fd; /* descriptor of the packed file being hashed or made; -1: none */
    uint64_t packed_bytes;
    uint64_t started_ms; /* time at which packing began */
};

/* ---- what is known ---- */

/* Makes the key of a stored value: how often this version of the agent failed
 * to pack the model. */
static void failure_key(const struct flo_digest *model, char *out, size_t out_bytes)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(model, text);
    snprintf(out, out_bytes, "unpacked:" FLO_VERSION ":%s", text);
}

static unsigned failures(const struct flo_shell *shell, const struct flo_digest *model)
{
    char key[128];

    failure_key(model, key, sizeof(key));
    return (unsigned)flo_values_number(shell->db, key);
}

static void keep_failures(struct flo_shell *shell, const struct flo_digest *model, unsigned count)
{
    char key[128];

    failure_key(model, key, sizeof(key));
    flo_values_set_number(shell->db, key, count);
}

static void forget_failures(struct flo_shell *shell, const struct flo_digest *model)
{
    if (failures(shell, model) > 0) {
        keep_failures(shell, model, 0);
    }
}

static bool is_wanted(const struct flo_shell *shell)
{
    return strcmp(flo_config_text(shell->settings.config, "packed_weights"), "auto") == 0;
}

bool flo_shell_packs(const struct flo_shell *shell)
{
    return is_wanted(shell) && flo_derived_is_expected(&shell->derived->core);
}

void flo_shell_prefix_hold(struct flo_shell *shell, bool is_held)
{
    shell->derived->is_held = is_held;
}

bool flo_shell_packed_is_lacking(const struct flo_shell *shell, const struct flo_digest *model)
{
    return flo_derived_is_lacking(&shell->derived->core, model);
}

void flo_shell_packed_doubt(struct flo_shell *shell)
{
    flo_derived_doubt(&shell->derived->core);
}

void flo_shell_packed_accepted(struct flo_shell *shell)
{
    flo_derived_accepted(&shell->derived->core);
}

bool flo_shell_keeps_prefixes(const struct flo_shell *shell)
{
    return strcmp(flo_config_text(shell->settings.config, "prefix_cache"), "on") == 0;
}

void flo_shell_packed_refused(struct flo_shell *shell, const struct flo_digest *model)
{
    flo_store_packed_remove(shell->store, model);
    if (flo_derived_refused(&shell->derived->core, model)) {
        keep_failures(shell, model, FLO_DERIVED_TRIES_MAX);
    }
}

/* Opens the prefix file of a release.  While an updater runs, no new file is
 * made, because the updater's plan of the disk space must stay valid. */
int flo_shell_prefix_open(struct flo_shell *shell, const struct flo_digest *release)
{
    const struct flo_settings *settings = &shell->settings;
    struct flo_err err = {0};
    char dir[sizeof(settings->state_dir) + 8];
    int fd = 0;

    if (flo_shell_keeps_prefixes(shell) &&
        (!shell->derived->is_held || flo_store_prefix_has(shell->store, release)) &&
        flo_path_join(dir, sizeof(dir), settings->state_dir, "prefix") &&
        flo_serve_prefix_open(dir, release, &fd, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
    return fd;
}

/* ---- the end of it ---- */

void flo_shell_derive_cancel(struct flo_deriving *deriving)
{
    if (deriving == NULL) {
        return;
    }
    flo_serve_pack_cancel(deriving->packer);
    flo_hashing_cancel(deriving->hashing);
    flo_event_drop(&deriving->again);
    flo_fd_cleanup(&deriving->packed_fd);
    free(deriving);
}

/* Frees the state and calls `done` with the descriptor of the packed weights;
 * 0: there are none. */
static void finish(struct flo_deriving *deriving, int packed_fd)
{
    struct flo_derived_spec spec = deriving->spec;

    flo_shell_derive_cancel(deriving);
    spec.done(spec.context, packed_fd);
}

static void get_on(struct flo_deriving *deriving)
{
    deriving->spec.gets_on(deriving->spec.context);
}

/* Starts to hash the packed file.  `done` is always called: at once, if hashing
 * cannot begin. */
static void hash(struct flo_deriving *deriving, flo_hashing_done *done)
{
    struct flo_err err = {0};

    if (flo_hashing_start(deriving->shell->base, deriving->packed_fd, done, deriving,
                          &deriving->hashing, &err) < 0) {
        done(deriving, NULL, &err);
    } else {
        get_on(deriving);
    }
}

/* ---- packing ---- */

/* Ends with the original weights after a failed try to pack. */
static void go_unpacked(struct flo_deriving *deriving, const struct flo_err *why)
{
    struct flo_shell *shell = deriving->shell;
    const struct flo_derived_spec *spec = &deriving->spec;
    struct flo_err err = *why;

    if (err.code == FLO_E_NOT_BUILT) {
        flo_log(FLO_LOG_INFO, "packing", "%s: not packed: %s", spec->name, err.what);
    } else {
        flo_wrap(&err, err.code, "packing %s", spec->name);
        flo_shell_note(shell, "note", &err);
    }
    if (flo_derived_failed(&shell->derived->core, &spec->model, err.code,
                           deriving->packed_fd >= 0)) {
        keep_failures(shell, &spec->model, failures(shell, &spec->model) + 1);
    }
    finish(deriving, 0);
}

static void made_hashed(void *context, const struct flo_digest *digest,
                        const struct flo_err *failure)
{
    struct flo_deriving *deriving = context;
    struct flo_shell *shell = deriving->shell;
    const struct flo_derived_spec *spec = &deriving->spec;
    struct flo_err err = {0};
    int packed_fd = 0;

    deriving->hashing = NULL;
    if (failure != NULL || flo_store_packed_publish(shell->store, deriving->packed_fd,
                                                    &deriving->spec.model, digest, &err) < 0) {
        go_unpacked(deriving, failure != NULL ? failure : &err);
        return;
    }
    flo_log(FLO_LOG_INFO, "packing", "%s: %llu bytes packed after %llu ms", spec->name,
            (unsigned long long)deriving->packed_bytes,
            (unsigned long long)(flo_now_ms() - deriving->started_ms));
    forget_failures(shell, &deriving->spec.model);
    flo_derived_made(&shell->derived->core, &deriving->spec.model);
    if (flo_store_packed_open(shell->store, &deriving->spec.model, &packed_fd, NULL) < 0) {
        packed_fd = 0;
    }
    finish(deriving, packed_fd);
}

static int reserve(void *context, uint64_t bytes, int *fd, struct flo_err *err)
{
    struct flo_deriving *deriving = context;
    int rv = flo_store_packed_create(deriving->shell->store, bytes, &deriving->packed_fd, err);

    deriving->packed_bytes = bytes;
    *fd = deriving->packed_fd;
    return rv;
}

static void packed(void *context, const struct flo_err *failure)
{
    struct flo_deriving *deriving = context;

    deriving->packer = NULL;
    if (failure != NULL) {
        go_unpacked(deriving, failure);
    } else {
        hash(deriving, made_hashed);
    }
}

static uint64_t bytes_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX;
}

static void pack(struct flo_deriving *deriving)
{
    struct flo_serve_packing request = {
        .fd = dup(deriving->spec.fd),
        .timeout_ms = flo_derived_ms_max(bytes_of(deriving->spec.fd)),
        .total_ms_max = PACK_TOTAL_MS_MAX,
        .idle_ms_max = flo_shell_hang_part_ms(deriving->shell, HANG_PARTS, PACK_IDLE_MS_MIN),
        .context = deriving,
        .reserve = reserve,
        .done = packed};
    struct flo_err err = {0};

    if (request.fd < 0) {
        flo_fail_errno(&err, FLO_E_MEMORY, "descriptor");
        go_unpacked(deriving, &err);
    } else if (flo_serve_pack(deriving->shell->serve, &request, &deriving->packer, &err) < 0) {
        go_unpacked(deriving, &err);
    } else {
        get_on(deriving);
    }
}

static void on_again(evutil_socket_t fd, short events, void *context);

/* Tells whether packing must wait for a killed packer that still holds disk
 * space.  After a minute it waits no longer. */
static bool waits_for_room(struct flo_deriving *deriving)
{
    struct flo_shell *shell = deriving->shell;

    if (flo_serve_killed_pid(shell->serve) == 0 ||
        flo_now_ms() - deriving->started_ms >= FLO_DERIVED_MAKE_MS_MAX) {
        return false;
    }
    if (deriving->again == NULL) {
        deriving->again = evtimer_new(shell->base, on_again, deriving);
    }
    if (deriving->again != NULL) {
        flo_shell_later(deriving->again, AGAIN_MS);
    }
    return deriving->again != NULL;
}

static void on_again(evutil_socket_t fd, short events, void *context)
{
    struct flo_deriving *deriving = context;

    (void)fd, (void)events;
    if (!waits_for_room(deriving)) {
        pack(deriving);
    }
}

static void begin_packing(struct flo_deriving *deriving)
{
    struct flo_shell *shell = deriving->shell;
    const struct flo_digest *model = &deriving->spec.model;

    deriving->started_ms = flo_now_ms();
    if (!flo_derived_may_make(&shell->derived->core, model, failures(shell, model))) {
        finish(deriving, 0);
    } else if (!waits_for_room(deriving)) {
        pack(deriving);
    }
}

/* ---- packed weights that are here ---- */

/* Removes the packed weights from the store, where they are missing or wrong,
 * and begins to pack again. */
static void pack_again(struct flo_deriving *deriving, const struct flo_err *why)
{
    flo_shell_note(deriving->shell, "note", why);
    flo_store_packed_remove(deriving->shell->store, &deriving->spec.model);
    flo_fd_cleanup(&deriving->packed_fd);
    begin_packing(deriving);
}

/* Passes the descriptor of the packed weights to `done`. */
static void take_packed(struct flo_deriving *deriving)
{
    int packed_fd = deriving->packed_fd;

    deriving->packed_fd = -1;
    finish(deriving, packed_fd);
}

static void packed_hashed(void *context, const struct flo_digest *digest,
                          const struct flo_err *failure)
{
    struct flo_deriving *deriving = context;
    struct flo_err err = {0};

    deriving->hashing = NULL;
    if (failure != NULL) {
        pack_again(deriving, failure);
    } else if (flo_store_packed_check(deriving->shell->store, &deriving->spec.model, digest, &err) <
               0) {
        pack_again(deriving, &err);
    } else {
        take_packed(deriving);
    }
}

static void find_packed(struct flo_deriving *deriving)
{
    struct flo_shell *shell = deriving->shell;
    const struct flo_digest *digest = &deriving->spec.model;
    struct flo_err err = {0};
    int rv;

    if (!is_wanted(shell)) {
        forget_failures(shell, digest);
    }
    if (!is_wanted(shell) || !flo_derived_is_asked_for(&shell->derived->core, digest)) {
        finish(deriving, 0);
        return;
    }
    rv = flo_store_packed_open(shell->store, digest, &deriving->packed_fd, &err);
    if (rv == FLO_E_BLOB_ABSENT) {
        begin_packing(deriving);
    } else if (rv < 0) {
        pack_again(deriving, &err);
    } else if (flo_derived_is_fresh(&shell->derived->core, digest)) {
        take_packed(deriving);
    } else {
        hash(deriving, packed_hashed);
    }
}

int flo_shell_derive(struct flo_shell *shell, const struct flo_derived_spec *spec,
                     struct flo_deriving **out, struct flo_err *err)
{
    struct flo_deriving *deriving = calloc(1, sizeof(*deriving));

    if (deriving == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "packed weights");
    }
    *deriving = (struct flo_deriving){.shell = shell, .spec = *spec, .packed_fd = -1};
    /* set first, because `done` may be called within this function and clears
     * it */
    *out = deriving;
    find_packed(deriving);
    return 0;
}
