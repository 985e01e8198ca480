/* Site: the listener on which other devices of the fleet ask this device's models
 * (`site_listen`).  Serve has the socket; this file says when it lets devices
 * in, and when it reads its files again. */
#include <string.h>
#include <sys/stat.h>

#include "agent/serve/serve.h"
#include "agent/shell/neighbours/neighbourhood.h"

#define AGAIN_MS 10000
enum { FILE_PAIR, FILE_AUTHORITIES, FILE_LIST };

/* Notes how the files of the listener are now.  A missing file has an empty
 * note. */
static void look_at(const struct flo_neighbourhood *hood, struct flo_site_note out[FLO_SITE_FILES])
{
    const struct flo_identity *identity = &hood->shell->identity;
    const char *const files[FLO_SITE_FILES] = {[FILE_PAIR] = identity->pairs.link,
                                               [FILE_AUTHORITIES] = identity->ca_file,
                                               [FILE_LIST] = hood->list_file};
    struct stat st;

    for (size_t i = 0; i < FLO_SITE_FILES; i++) {
        out[i] = (struct flo_site_note){0};
        if (stat(files[i], &st) == 0) {
            out[i].inode = st.st_ino;
            out[i].changed_ns =
                (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
        }
    }
}

static bool is_same(const struct flo_site_note *a, const struct flo_site_note *b)
{
    return a->inode == b->inode && a->changed_ns == b->changed_ns;
}

static bool are_same(const struct flo_site_note a[FLO_SITE_FILES],
                     const struct flo_site_note b[FLO_SITE_FILES])
{
    size_t i = 0;

    while (i < FLO_SITE_FILES && is_same(&a[i], &b[i])) {
        i++;
    }
    return i == FLO_SITE_FILES;
}

/* Opens the listener, or makes an open one read its files again. */
static int read_files(struct flo_neighbourhood *hood, struct flo_err *err)
{
    const struct flo_shell *shell = hood->shell;
    const struct flo_serve_site site = {
        .listen = flo_config_text(shell->settings.config, "site_listen"),
        .cert_file = shell->identity.pairs.link,
        .key_file = shell->identity.pairs.link,
        .ca_file = shell->identity.ca_file,
        .revoked_file = hood->list_file,
    };

    return shell->neighbours->counts.site.port != 0
               ? flo_serve_site_again(shell->serve, err)
               : flo_serve_site_open(shell->serve, &site,
                                     &hood->shell->neighbours->counts.site.port, err);
}

static void turn(struct flo_neighbourhood *hood, bool is_on)
{
    struct flo_site *site = &hood->shell->neighbours->counts.site;

    if (site->is_on == is_on) {
        return;
    }
    site->is_on = is_on;
    flo_serve_site_turn(hood->shell->serve, is_on);
    if (is_on) {
        flo_log(FLO_LOG_INFO, "site", "devices of the fleet may ask on port %u",
                (unsigned)site->port);
    } else {
        flo_log(FLO_LOG_WARN, "site", "no device may ask: %s",
                hood->site_is_read ? "the list of revoked certificates is older than a day"
                                   : "the listener's files have changed and cannot be read");
    }
}

void flo_site_look(struct flo_neighbourhood *hood, uint64_t now_ms)
{
    bool holds = flo_revoked_holds(hood, now_ms);
    struct flo_site_note notes[FLO_SITE_FILES];
    struct flo_err err = {0};

    if (!hood->shell->neighbours->counts.site.is_wanted) {
        return;
    }
    look_at(hood, notes);
    if (hood->site_notes[FILE_AUTHORITIES].inode != 0 &&
        !is_same(&notes[FILE_AUTHORITIES], &hood->site_notes[FILE_AUTHORITIES])) {
        hood->list_again_ms = 0; /* a new authority has a list of its own */
    }
    if (!are_same(notes, hood->site_notes)) {
        /* Whoever the new files refuse is refused from now on, even if these
         * cannot be read. */
        hood->site_is_read = false;
        hood->site_again_ms = 0;
        memcpy(hood->site_notes, notes, sizeof(notes));
    }
    if (!hood->site_is_read && holds && now_ms >= hood->site_again_ms) {
        hood->site_is_read = read_files(hood, &err) == 0;
        hood->site_again_ms = hood->site_is_read ? 0 : now_ms + AGAIN_MS;
    }
    turn(hood, holds && hood->site_is_read);
    if (err.code != 0) { /* told when it has its effect */
        flo_log_err(FLO_LOG_WARN, "site", &err);
    }
}
