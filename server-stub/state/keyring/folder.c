/* Keyring: reads and writes the keyring's files below the folder of a
 * controller. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/keys.h>
#include <flotilla/errors/sig.h>

#include "server-stub/state/keyring/keyring.h"
#include "server-stub/state/pki/pki.h"

#define OWN_KEY "controller.key"
/* Name of the file with the highest number of a keyring that this folder
 * accepted.  An older document, which somebody restored, is refused by it. */
#define NUMBER "keyring.number"

static const char *const folders[] = {"pki", "keys", "trust"};

static int path_of(const char *dir, const char *name, char out[4096], struct flo_err *err)
{
    return flo_path_join(out, 4096, dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s/%s is too long", dir, name);
}

/* ---- reading ---- */

static int read_one(const char *dir, const char *name, json_t *files, struct flo_err *err)
{
    char path[4096];
    char *text = NULL;
    size_t bytes = 0;
    int rv = path_of(dir, name, path, err);

    if (rv == 0) {
        rv = flo_file_read(path, FLO_PEM_BYTES_MAX, &text, &bytes, err);
    }
    if (rv == 0 && json_object_set_new(files, name, json_stringn(text, bytes)) < 0) {
        rv = flo_fail(err, FLO_E_SIG_FORMAT, "%s is no text", path);
    }
    if (text != NULL) {
        flo_secret_wipe(text, bytes);
        free(text);
    }
    return rv == FLO_E_ABSENT ? 0 : rv; /* FLO_E_ABSENT: somebody removed the
                                           file while the folder was read */
}

static int read_folder(const char *dir, const char *folder, json_t *files, struct flo_err *err)
{
    struct dirent *entry;
    char path[4096];
    int rv = path_of(dir, folder, path, err);

    FLO_TRY(rv);
    DIR *open = opendir(path);
    if (open == NULL) {
        return errno == ENOENT ? 0 : flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    while (rv == 0 && (entry = readdir(open)) != NULL) {
        char name[300];
        snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
        if (flo_keyring_has_name(name)) {
            rv = read_one(dir, name, files, err);
        }
    }
    closedir(open);
    return rv;
}

int flo_keyring_read(const char *dir, json_t **out, struct flo_err *err)
{
    json_t *files = json_object();
    int rv = files == NULL ? flo_fail(err, FLO_E_MEMORY, "keyring") : 0;

    for (size_t i = 0; rv == 0 && i < FLO_COUNT(folders); i++) {
        rv = read_folder(dir, folders[i], files, err);
    }
    if (rv < 0) {
        flo_json_secret_cleanup(&files);
        return rv;
    }
    *out = files;
    return 0;
}

/* ---- writing ---- */

static bool is_secret(const char *name)
{
    size_t chars = strlen(name);

    return strcmp(name + chars - 4, ".pem") != 0;
}

static int write_one(const char *dir, const char *name, const json_t *text, struct flo_err *err)
{
    char path[4096];

    FLO_TRY(path_of(dir, name, path, err));
    return flo_file_write(path, json_string_value(text), json_string_length(text),
                          is_secret(name) ? 0600 : 0644, err);
}

/* Writes the files that differ from those in the folder: only keys if `keys`,
 * else all others.  The caller writes keys before the list that names them.
 * Keys that are not needed are removed after that list was written. */
static int write_all(const char *dir, json_t *files, json_t *there, bool keys, struct flo_err *err)
{
    const char *name;
    json_t *text;
    int rv = 0;

    json_object_foreach(files, name, text)
    {
        if (rv == 0 && is_secret(name) == keys && !json_equal(text, json_object_get(there, name))) {
            rv = write_one(dir, name, text, err);
        }
    }
    return rv;
}

static int remove_others(const char *dir, json_t *files, json_t *there, struct flo_err *err)
{
    const char *name;
    char path[4096];
    json_t *text;

    json_object_foreach(there, name, text)
    {
        if (json_object_get(files, name) == NULL) {
            FLO_TRY(path_of(dir, name, path, err));
            if (unlink(path) < 0 && errno != ENOENT) {
                return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
            }
        }
    }
    return 0;
}

/* Writes each file of the keyring that differs, and removes files with such
 * names that are not in the keyring. */
static int write_folder(const char *dir, json_t *files, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_secret_cleanup) json_t *there = NULL;
    char path[4096];

    for (size_t i = 0; i < FLO_COUNT(folders); i++) {
        FLO_TRY(path_of(dir, folders[i], path, err));
        FLO_TRY(flo_dir_make(path, 0700, err));
    }
    FLO_TRY(flo_keyring_read(dir, &there, err));
    FLO_TRY(write_all(dir, files, there, true, err));
    FLO_TRY(write_all(dir, files, there, false, err));
    return remove_others(dir, files, there, err);
}

int flo_keyring_own(const char *dir, struct flo_key **out, struct flo_err *err)
{
    char path[4096];

    FLO_TRY(path_of(dir, OWN_KEY, path, err));
    int rv = flo_key_load(path, out, err);
    if (rv != FLO_E_ABSENT) {
        return rv;
    }
    rv = flo_key_generate(out, err);
    if (rv == 0) {
        rv = flo_key_save(*out, path, err);
        if (rv < 0) {
            flo_key_free(*out);
            *out = NULL;
        }
    }
    return rv;
}

/* ---- taking ---- */

static int has_files(const char *dir, const char *digest, bool *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_secret_cleanup) json_t *files = NULL;
    char own[FLO_KEYRING_DIGEST];
    int rv = flo_keyring_read(dir, &files, err);

    if (rv == 0) {
        rv = flo_keyring_digest(files, own, err);
    }
    *out = rv == 0 && strcmp(own, digest) == 0;
    return rv;
}

/* Reads a file of the folder.  *out is NULL if the folder has no such file. */
static int read_text(const char *dir, const char *name, char **out, struct flo_err *err)
{
    char path[4096];
    size_t bytes;
    int rv = path_of(dir, name, path, err);

    if (rv == 0) {
        rv = flo_file_read(path, FLO_PEM_BYTES_MAX, out, &bytes, err);
    }
    return rv == FLO_E_ABSENT ? 0 : rv;
}

int flo_keyring_dismissed(const char *dir, const char *keyid, bool *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    int rv = read_text(dir, FLO_KEYRING_DISMISSED, &text, err);

    *out = rv == 0 && text != NULL && strstr(text, keyid) != NULL;
    return rv;
}

int flo_keyring_dismissed_set(const char *dir, const char *keyid, bool is_dismissed,
                              struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf lines = {0};
    char path[4096], *rest = NULL;

    FLO_TRY(path_of(dir, FLO_KEYRING_DISMISSED, path, err));
    FLO_TRY(read_text(dir, FLO_KEYRING_DISMISSED, &text, err));
    for (const char *line = text == NULL ? NULL : strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strcmp(line, keyid) != 0) {
            flo_buf_printf(&lines, "%s\n", line);
        }
    }
    if (is_dismissed) {
        flo_buf_printf(&lines, "%s\n", keyid);
    }
    if (lines.failed) {
        return flo_fail(err, FLO_E_MEMORY, "keyring");
    }
    return text == NULL && !is_dismissed ? 0
                                         : flo_file_write(path, lines.data, lines.bytes, 0600, err);
}

int flo_keyring_number_check(const char *dir, uint64_t number, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    int rv = read_text(dir, NUMBER, &text, err);

    uint64_t before = text != NULL ? strtoull(text, NULL, 10) : 0;
    if (rv == 0 && number < before) {
        flo_fail(err, FLO_E_KEYS_ABSENT,
                 "the database holds keyring %" PRIu64 ", this folder took number %" PRIu64
                 " before",
                 number, before);
        return flo_err_fix(err, "the database comes from a backup: start one "
                                "controller with --restored");
    }
    return rv;
}

int flo_keyring_number_set(const char *dir, uint64_t number, struct flo_err *err)
{
    char path[4096], text[24];
    int chars = snprintf(text, sizeof(text), "%" PRIu64 "\n", number);

    FLO_TRY(path_of(dir, NUMBER, path, err));
    return flo_file_write(path, text, (size_t)chars, 0600, err);
}

static int open_document(const char *dir, const char *text, size_t bytes, const char *joins,
                         struct flo_keyring *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *own = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *authorities = NULL;

    FLO_TRY(flo_keyring_own(dir, &own, err));
    FLO_TRY(read_text(dir, "pki/ca.pem", &authorities, err));
    if (authorities == NULL && joins == NULL) {
        flo_fail(err, FLO_E_KEYS_ABSENT, "this folder knows no authority of the fleet");
        return flo_err_fix(err, "start it with --join FINGERPRINT, which "
                                "flotilla-controller --fingerprint prints at "
                                "the leader");
    }
    return flo_keyring_open(text, bytes, own, joins == NULL ? authorities : NULL, joins, out, err);
}

static int take(const char *dir, const char *digest, const char *text, size_t bytes,
                const char *joins, struct flo_err *err)
{
    FLO_CLEANUP(flo_keyring_cleanup) struct flo_keyring keyring = {.number = 0};
    char found[FLO_KEYRING_DIGEST];

    FLO_TRY(open_document(dir, text, bytes, joins, &keyring, err));
    FLO_TRY(flo_keyring_number_check(dir, keyring.number, err));
    FLO_TRY(flo_keyring_digest(keyring.files, found, err));
    if (strcmp(found, digest) != 0) {
        return flo_fail(err, FLO_E_KEYS_ABSENT,
                        "keyring %" PRIu64 " is not the one that the lease names", keyring.number);
    }
    FLO_TRY(write_folder(dir, keyring.files, err));
    return flo_keyring_number_set(dir, keyring.number, err);
}

/* Checks that people did not dismiss this controller.  Only a folder that it
 * shares with another controller has the list with its key, because a dismissed
 * controller gets no new files. */
static int check_dismissed(const char *dir, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *own = NULL;
    bool is_dismissed;

    FLO_TRY(flo_keyring_own(dir, &own, err));
    const char *keyid = flo_key_public(own)->keyid;
    FLO_TRY(flo_keyring_dismissed(dir, keyid, &is_dismissed, err));
    if (is_dismissed) {
        flo_fail(err, FLO_E_KEYS_ABSENT, "this controller was dismissed: its key is %.64s", keyid);
        return flo_err_fix(err, "flotilla controller admit %.64s", keyid);
    }
    return 0;
}

int flo_keyring_take(const char *dir, const char *digest, const char *text, size_t bytes,
                     const char *joins_or_null, struct flo_err *err)
{
    bool has;
    int rv = has_files(dir, digest, &has, err);

    if (rv == 0 && has) {
        rv = check_dismissed(dir, err);
    } else if (rv == 0 && bytes == 0) {
        rv = flo_fail(err, FLO_E_KEYS_ABSENT, "the database holds no keyring of that digest");
    } else if (rv == 0) {
        rv = take(dir, digest, text, bytes, joins_or_null, err);
    }
    flo_secret_stack_wipe();
    return rv;
}
