/* Heads: reads, writes and compares the audit's signed heads. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/audit.h>

#include "base/host/crypto.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/audit/lines.h"
#include "server-stub/state/audit/memory.h"
#include "server-stub/state/transaction.h"
#include "server-stub/store/seals.h"

#define FILE_BYTES_MAX (64u << 20)
#define CONTEXT "flotilla audit 1\n"
#define ROWS_A_LOOK 512

struct flo_audit_head {
    struct flo_key *key;
    int fd;
    struct flo_audit_checkpoint *checkpoints; /* growing numbers */
    size_t count, room;
    uint64_t marked_at_ms;
    struct flo_audit_walk walk; /* walk that checks the table from its start, again and again */
    size_t next;                /* index of the next checkpoint that the walk will compare */
    size_t lines;               /* number of valid lines in the file */
    uint64_t seals;             /* number in the newest line "seals"; 0: none since a restart */
    /* Time of the file's first line, or of its last restart line. */
    uint64_t from_ms;
    uint64_t latest_ms; /* latest time of all lines in the file */
    /* newest line of the file; "": the file has no line, or the newest is a
     * restart line */
    char line[FLO_AUDIT_LINE_TEXT];
    char file_what[128]; /* error text about the file; "": the file is valid */
};

static int path_of(const struct flo_controller *controller, const char *name, char *out,
                   struct flo_err *err)
{
    return flo_path_join(out, 4096, controller->dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s/%s is too long", controller->dir, name);
}

static void signed_text(const struct flo_audit_checkpoint *checkpoint, char *out, size_t bytes)
{
    char text[FLO_AUDIT_CHECKPOINT_TEXT];

    flo_audit_checkpoint_text(checkpoint, text);
    snprintf(out, bytes, CONTEXT "%s", text);
}

static int room_for_one(struct flo_audit_head *head, struct flo_err *err)
{
    return flo_grow_or_fail(&head->checkpoints, &head->room, head->count,
                            sizeof(*head->checkpoints), "audit heads", err);
}

/* Keeps a line of audit.head in memory. */
static void remember(struct flo_audit_head *head, const struct flo_audit_checkpoint *checkpoint,
                     const char *line, size_t bytes)
{
    if (head->lines++ == 0 || checkpoint->is_restart) {
        head->from_ms = checkpoint->at_ms;
    }
    head->latest_ms = checkpoint->at_ms > head->latest_ms ? checkpoint->at_ms : head->latest_ms;
    if (checkpoint->is_seals) {
        head->seals = checkpoint->number;
        return; /* no device hears of it */
    }
    head->seals = checkpoint->is_restart ? 0 : head->seals;
    bool is_told = !checkpoint->is_restart && checkpoint->number > 0;
    snprintf(head->line, sizeof(head->line), "%.*s", is_told ? (int)bytes : 0, line);
}

/* ---- reading ---- */

static int bad_file(struct flo_audit_head *head, size_t line, const char *why)
{
    if (head->file_what[0] == '\0') {
        snprintf(head->file_what, sizeof(head->file_what), "audit.head line %zu %s", line, why);
    }
    return 0;
}

static bool is_signed(const struct flo_audit_head *head,
                      const struct flo_audit_checkpoint *checkpoint, const uint8_t *signature)
{
    char text[FLO_AUDIT_CHECKPOINT_TEXT + 32];
    struct flo_err why = {0};

    signed_text(checkpoint, text, sizeof(text));
    return head->key != NULL && flo_verify(flo_key_public(head->key), text, strlen(text), signature,
                                           FLO_AUDIT_SIGNATURE_BYTES, &why) == 0;
}

static int read_line(struct flo_audit_head *head, const char *line, size_t bytes, size_t number,
                     struct flo_err *err)
{
    uint8_t signature[FLO_AUDIT_SIGNATURE_BYTES];
    struct flo_audit_checkpoint checkpoint;

    if (!flo_audit_line_parse(line, bytes, &checkpoint, signature)) {
        return bad_file(head, number, "is no head");
    }
    if (!is_signed(head, &checkpoint, signature)) {
        return bad_file(head, number, "is not signed by keys/audit.key");
    }
    /* A restart line says that the lines above it may be missing.  An old
     * restart line, copied or moved here, would hide that later lines were cut
     * off. */
    if (checkpoint.is_restart && checkpoint.at_ms < head->latest_ms) {
        return bad_file(head, number, "is a restart from before those above");
    }
    int rv = room_for_one(head, err);
    if (rv == 0 && !checkpoint.is_seals &&
        !flo_audit_checkpoints_add(head->checkpoints, &head->count, &checkpoint)) {
        return bad_file(head, number, "goes backwards");
    }
    remember(head, &checkpoint, line, bytes);
    return rv;
}

/* Reads audit.head.  A last line without its line feed is left out, because a
 * power cut interrupted its writing. */
static int read_file(struct flo_audit_head *head, const char *path, off_t *whole,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes = 0;
    size_t at = 0;
    int rv = flo_file_read(path, FILE_BYTES_MAX, &text, &bytes, err);

    for (size_t line = 1; rv == 0 && at < bytes; line++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        if (end == NULL) {
            break;
        }
        size_t chars = (size_t)(end - (text + at));
        rv = read_line(head, text + at, chars, line, err);
        at += chars + 1;
    }
    *whole = (off_t)at;
    return rv;
}

/* ---- writing ---- */

static int write_checkpoint(struct flo_controller *controller,
                            const struct flo_audit_checkpoint *checkpoint, struct flo_err *err)
{
    struct flo_audit_head *head = controller->audit->head;
    uint8_t signature[FLO_SIGNATURE_BYTES];
    char text[FLO_AUDIT_CHECKPOINT_TEXT + 32];
    char line[FLO_AUDIT_LINE_TEXT];

    signed_text(checkpoint, text, sizeof(text));
    FLO_TRY(room_for_one(head, err));
    FLO_TRY(flo_sign(head->key, text, strlen(text), signature, err));
    flo_audit_line(checkpoint, signature, line);
    FLO_TRY(flo_audit_lines_put(controller, head->lines, line, err));
    off_t begin = lseek(head->fd, 0, SEEK_END);
    int rv = flo_fd_write_all(head->fd, line, strlen(line), err);
    if (rv == 0 && fdatasync(head->fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "audit.head");
    }
    /* A line that was not written completely is removed, because it would
     * damage the next one. */
    if (rv < 0) {
        if (begin >= 0 && ftruncate(head->fd, begin) < 0) {
            flo_log(FLO_LOG_ERROR, "audit", "half a line stays in audit.head: %s", strerror(errno));
        }
        return rv;
    }
    if (!checkpoint->is_seals) {
        (void)flo_audit_checkpoints_add(head->checkpoints, &head->count, checkpoint);
    }
    remember(head, checkpoint, line, strlen(line) - 1);
    return 0;
}

static int take_newest(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    struct flo_audit_checkpoint *checkpoint = context;

    checkpoint->number = record->number;
    checkpoint->hash = *hash;
    return 0;
}

static int newest_record(struct flo_controller *controller, struct flo_audit_checkpoint *out,
                         struct flo_err *err)
{
    *out = (struct flo_audit_checkpoint){.at_ms = flo_wall_ms()};
    return flo_fleet_audit_newest(controller->store, INT64_MAX, 1, take_newest, out, err);
}

struct flo_audit_checkpoint flo_audit_head_newest(const struct flo_controller *controller)
{
    const struct flo_audit_head *head = controller->audit->head;

    return head != NULL && head->count > 0 ? head->checkpoints[head->count - 1]
                                           : (struct flo_audit_checkpoint){0};
}

const char *flo_audit_head_line(const struct flo_controller *controller)
{
    const struct flo_audit_head *head = controller->audit->head;

    return head != NULL && !controller->audit->is_broken ? head->line : "";
}

uint64_t flo_audit_head_from_ms(const struct flo_controller *controller)
{
    const struct flo_audit_head *head = controller->audit->head;

    return head != NULL ? head->from_ms : 0;
}

bool flo_audit_head_is_ours(const struct flo_controller *controller,
                            const struct flo_audit_checkpoint *checkpoint, const uint8_t *signature)
{
    const struct flo_audit_head *head = controller->audit->head;

    return head != NULL && is_signed(head, checkpoint, signature);
}

uint64_t flo_audit_head_seals(const struct flo_controller *controller)
{
    const struct flo_audit_head *head = controller->audit->head;

    return head != NULL ? head->seals : 0;
}

/* Signs the number of the newest change of a sealed row. */
static int write_seals(struct flo_controller *controller, struct flo_err *err)
{
    const struct flo_audit_checkpoint seals = {.is_seals = true,
                                               .number = flo_fleet_seals_number(controller->store),
                                               .at_ms = flo_wall_ms()};

    if (seals.number <= controller->audit->head->seals) {
        return 0;
    }
    FLO_TRY(flo_fleet_flush(controller->store, err));
    return write_checkpoint(controller, &seals, err);
}

/* Signs the newest record.  A broken chain is not signed, because a signature
 * would make the break valid. */
static void checkpoint_newest(struct flo_controller *controller)
{
    struct flo_audit_checkpoint checkpoint;
    struct flo_err err = {0};

    if (controller->audit->is_broken || controller->audit->head->fd < 0) {
        return;
    }
    int rv = newest_record(controller, &checkpoint, &err);
    if (rv == 0 && checkpoint.number > flo_audit_head_newest(controller).number) {
        rv = flo_fleet_flush(controller->store, &err); /* records come first */
        if (rv == 0) {
            rv = write_checkpoint(controller, &checkpoint, &err);
        }
    }
    if (rv == 0) {
        rv = write_seals(controller, &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "audit", &err);
    }
}

static void settle(struct flo_controller *controller, bool is_committed)
{
    if (is_committed && controller->audit->head != NULL &&
        controller->audit->unmarked >= FLO_AUDIT_CHECKPOINT_RECORDS) {
        /* The count is reset even when signing fails, so that not every later
         * commit tries to sign. */
        controller->audit->unmarked = 0;
        flo_audit_head_tick(controller, UINT64_MAX);
    }
}

const struct flo_transaction_part flo_audit_part = {.settle = settle};

int flo_audit_head_restart(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_audit_head *head = controller->audit->head;
    struct flo_audit_checkpoint checkpoint;

    if (head == NULL) {
        return 0;
    }
    int rv = newest_record(controller, &checkpoint, err);
    checkpoint.is_restart = true;
    checkpoint.at_ms = checkpoint.at_ms > head->latest_ms ? checkpoint.at_ms : head->latest_ms;
    if (rv == 0) {
        rv = write_checkpoint(controller, &checkpoint, err);
    }
    if (rv == 0) {
        rv = write_seals(controller, err);
    }
    if (rv == 0) {
        controller->audit->is_broken = head->file_what[0] != '\0';
    }
    return rv;
}

/* ---- comparing ---- */

struct look {
    struct flo_audit_walk *walk;
    const struct flo_audit_head *head;
    size_t *next;
    struct flo_err *err;
    uint64_t rows;
};

static int look_at(void *context, const struct flo_audit_record *record,
                   const struct flo_digest *hash)
{
    struct look *look = context;
    int rv = flo_audit_walk_next(look->walk, record, hash, look->err);

    look->rows++;
    FLO_TRY(rv);
    return look->head == NULL
               ? rv
               : flo_audit_checkpoints_compare(look->head->checkpoints, look->head->count,
                                               look->next, look->walk, look->err);
}

int flo_audit_check_on(struct flo_controller *controller, struct flo_audit_check *check,
                       struct flo_err *err)
{
    const struct flo_audit_head *head = controller->audit->head;
    struct look look = {.walk = &check->walk, .head = head, .next = &check->next, .err = err};
    int rv = flo_fleet_audit_list(controller->store, check->walk.number + 1, ROWS_A_LOOK, look_at,
                                  &look, err);

    check->is_over = rv < 0 || look.rows < ROWS_A_LOOK;
    FLO_TRY(rv);
    if (!check->is_over || head == NULL) {
        return rv;
    }
    rv = flo_audit_checkpoints_end(head->checkpoints, head->count, &check->walk, err);
    if (rv == 0 && head->file_what[0] != '\0') {
        rv = flo_fail(err, FLO_E_AUDIT_CHAIN, "%s", head->file_what);
    }
    if (rv == 0 && controller->audit->cut[0] != '\0') {
        rv = flo_fail(err, FLO_E_AUDIT_CUT, "%s", controller->audit->cut);
    }
    return rv;
}

/* Compares the newest record with the last checkpoint, and checks the next
 * records of the table.  At the end of the table the walk starts over. */
static int look_on(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_audit_head *head = controller->audit->head;
    struct flo_audit_checkpoint end;
    struct look look = {.walk = &head->walk, .head = head, .next = &head->next, .err = err};

    FLO_TRY(newest_record(controller, &end, err));
    struct flo_audit_walk last = {.number = end.number, .head = end.hash};
    size_t at = head->count > 0 ? head->count - 1 : 0;
    FLO_TRY(flo_audit_checkpoints_end(head->checkpoints, head->count, &last, err));
    FLO_TRY(flo_audit_checkpoints_compare(head->checkpoints, head->count, &at, &last, err));
    FLO_TRY(flo_fleet_audit_list(controller->store, head->walk.number + 1, ROWS_A_LOOK, look_at,
                                 &look, err));
    if (look.rows < ROWS_A_LOOK) {
        head->walk = (struct flo_audit_walk){0};
        head->next = 0;
    }
    return 0;
}

static void say_broken(struct flo_controller *controller, const struct flo_err *why)
{
    if (why->code == FLO_E_AUDIT_CHAIN) {
        controller->audit->is_broken = true;
    }
    flo_log_err(FLO_LOG_ERROR, "audit", why);
}

/* Once a minute, compares the table with the checkpoints and then signs.  A
 * record is signed only after this comparison. */
void flo_audit_head_tick(struct flo_controller *controller, uint64_t now_ms)
{
    struct flo_audit_head *head = controller->audit->head;
    struct flo_err err = {0};

    if (head == NULL || now_ms - head->marked_at_ms < FLO_AUDIT_CHECKPOINT_MS) {
        return;
    }
    head->marked_at_ms = now_ms == UINT64_MAX ? flo_now_ms() : now_ms;
    if (look_on(controller, &err) < 0) {
        head->walk = (struct flo_audit_walk){0};
        head->next = 0;
        say_broken(controller, &err);
        return;
    }
    checkpoint_newest(controller);
}

/* ---- opening ---- */

/* name of the setting which records that the audit's key and file were made
 * once */
#define MADE "audit_head"

/* Finds out whether the audit's key and file were ever made.  Either the
 * setting or the file shows it, because somebody may have deleted one of
 * them. */
int flo_audit_head_was_made(struct flo_controller *controller, bool *out, struct flo_err *err)
{
    struct stat st = {0};
    char path[4096];
    char made[8] = "";
    int rv = path_of(controller, "audit.head", path, err);

    if (rv == 0) {
        rv = flo_fleet_setting_get(controller->store, MADE, made, sizeof(made), err);
    }
    *out = made[0] != '\0' || (stat(path, &st) == 0 && st.st_size > 0);
    return rv;
}

static int open_append(struct flo_controller *controller, struct flo_audit_head *head,
                       const char *path, int flags, struct flo_err *err)
{
    head->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
    return head->fd < 0 ? flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path)
                        : flo_dir_sync(controller->dir, err);
}

/* Makes the audit's key, its file and the first line, and at last stores the
 * setting MADE.  Called at the first start, and at the first start after a
 * backup was restored. */
static int make_file(struct flo_controller *controller, struct flo_audit_head *head,
                     const char *path, const char *key, struct flo_err *err)
{
    struct flo_audit_checkpoint first = {.at_ms = flo_wall_ms()};
    int rv = flo_key_load(key, &head->key, err);

    if (rv == FLO_E_ABSENT) {
        rv = flo_key_generate(&head->key, err);
        if (rv == 0) {
            rv = flo_key_save(head->key, key, err);
        }
    }
    if (rv == 0) {
        rv = open_append(controller, head, path, O_TRUNC, err);
    }
    if (rv == 0) {
        rv = write_checkpoint(controller, &first, err);
    }
    FLO_TRY(rv);
    return flo_fleet_setting_set(controller->store, MADE, "1", err);
}

/* Reads and opens audit.head, which was made at an earlier start.  The audit
 * counts as broken if the file or its key is gone. */
static int use_file(struct flo_controller *controller, struct flo_audit_head *head,
                    const char *path, const char *key, struct flo_err *err)
{
    off_t whole = 0;
    bool differs = false;
    int rv = flo_audit_lines_pull(controller, path, &differs, err);

    if (rv == 0 && differs) {
        rv = bad_file(head, 0, "has lines that the database has not");
    }
    if (rv == 0) {
        rv = flo_key_load(key, &head->key, err);
    }
    if (rv == FLO_E_ABSENT) {
        return bad_file(head, 0, "cannot be read: keys/audit.key is gone");
    }
    if (rv == 0) {
        rv = read_file(head, path, &whole, err);
    }
    if (rv == FLO_E_ABSENT || (rv == 0 && head->lines == 0)) {
        return bad_file(head, 0, "is gone: the file was removed or emptied");
    }
    if (rv == 0) {
        rv = open_append(controller, head, path, 0, err);
    }
    if (rv == 0 && ftruncate(head->fd, whole) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    return rv;
}

static int open_file(struct flo_controller *controller, struct flo_audit_head *head,
                     struct flo_err *err)
{
    char path[4096];
    char key[4096];
    bool was_made;

    FLO_TRY(path_of(controller, "audit.head", path, err));
    FLO_TRY(path_of(controller, "keys/audit.key", key, err));
    FLO_TRY(flo_audit_head_was_made(controller, &was_made, err));
    if (!was_made) {
        return make_file(controller, head, path, key, err);
    }
    int rv = use_file(controller, head, path, key, err);
    if (rv == 0 && head->fd >= 0) {
        return flo_fleet_setting_set(controller->store, MADE, "1", err);
    }
    if (rv == 0 && (controller->options.is_restored || controller->audit->has_new_key)) {
        head->file_what[0] = '\0';
        head->count = head->lines = head->seals = 0;
        head->latest_ms = 0;
        flo_key_free(head->key);
        head->key = NULL;
        return make_file(controller, head, path, key, err);
    }
    return rv;
}

int flo_audit_head_open(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_audit_check check = {.is_over = false};
    struct flo_err why = {0};

    if (strcmp(controller->dir, ":memory:") == 0) {
        return 0;
    }
    struct flo_audit_head *head = calloc(1, sizeof(*head));
    if (head == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "audit heads");
    }
    head->fd = -1;
    head->marked_at_ms = flo_now_ms();
    controller->audit->head = head;
    int rv = open_file(controller, head, err);
    FLO_TRY(rv);
    while (rv == 0 && !check.is_over) {
        rv = flo_audit_check_on(controller, &check, &why);
    }
    if (rv < 0) {
        say_broken(controller, &why);
    } else {
        checkpoint_newest(controller);
    }
    return 0;
}

void flo_audit_head_close(struct flo_controller *controller)
{
    struct flo_audit_head *head = controller->audit->head;

    if (head == NULL) {
        return;
    }
    if (head->fd >= 0) {
        checkpoint_newest(controller);
        close(head->fd);
    }
    flo_key_free(head->key);
    free(head->checkpoints);
    free(head);
    controller->audit->head = NULL;
}
