/* Commands key create and key move: private keys on operators' machines.
 *
 * No controller ever sees one of these keys. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "base/scratch.h"
#include "server-stub/cli/trust/trust.h"

/* ---- create ---- */

/* Writes a private key.  A file of this name is not replaced. */
static int save_key(const struct flo_key *key, const char *path, struct flo_err *err)
{
    char pem[FLO_KEY_PEM_MAX];
    int rv = flo_key_pem(key, pem, err);

    if (rv == 0) {
        rv = flo_file_write_new(path, pem, strlen(pem), 0600, err);
    }
    flo_secret_wipe(pem, sizeof(pem));
    return rv;
}

/* Writes both files of a key pair, or neither. */
static int save_pair(const struct flo_key *key, const char *path, const char *public_path,
                     struct flo_err *err)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(key), pem);
    FLO_TRY(save_key(key, path, err));
    int rv = flo_file_write_new(public_path, pem, strlen(pem), 0644, err);
    if (rv < 0) {
        unlink(path);
    }
    return rv;
}

int flo_pair_create(const char *dir, const char *name, char path[FLO_PAIR_PATH],
                    struct flo_key **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    char public_path[FLO_PAIR_PATH];

    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_META_NAME, "key name `%.80s`", name);
    }
    FLO_TRY(flo_dir_make(dir, 0700, err));
    FLO_TRY(flo_key_generate(&key, err));
    snprintf(path, FLO_PAIR_PATH, "%.900s/%s.key", dir, name);
    snprintf(public_path, FLO_PAIR_PATH, "%.900s/%s.pub", dir, name);
    flo_ending_hold(true);
    int rv = save_pair(key, path, public_path, err);
    flo_ending_hold(false);
    FLO_TRY(rv);
    *out = key;
    key = NULL;
    return 0;
}

int flo_cmd_key_create(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    char path[FLO_PAIR_PATH];

    FLO_TRY(
        flo_pair_create(flo_args_text(&cli->args, "to", "."), cli->args.words[0], path, &key, err));
    const char *keyid = flo_key_public(key)->keyid;
    int chars = (int)strlen(path) - 4; /* without .key */
    char public_path[FLO_PAIR_PATH];
    snprintf(public_path, sizeof(public_path), "%.*s.pub", chars, path);
    flo_out_done(cli,
                 json_pack("{s:s,s:s,s:s}", "private", path, "public", public_path, "keyid", keyid),
                 "private key %s (0600: keep it off the controller)\n"
                 "public key  %s\nkeyid       %s\n",
                 path, public_path, keyid);
    return 0;
}

/* ---- move ---- */

/* Finds the file of a key.  KEY is a path with or without .key; a bare name may
 * also be that of a key in keys/. */
static int find(const char *word, char out[FLO_PAIR_PATH], struct flo_err *err)
{
    static const char *const forms[][2] = {{"", ""}, {"", ".key"}, {"keys/", ".key"}};

    for (size_t i = 0; i < (strchr(word, '/') != NULL ? 2 : 3); i++) {
        size_t chars;
        snprintf(out, FLO_PAIR_PATH, "%s%.900s%s", forms[i][0], word, forms[i][1]);
        chars = strlen(out);
        if (chars > 4 && strcmp(out + chars - 4, ".key") == 0 && access(out, F_OK) == 0) {
            return 0;
        }
    }
    return flo_fail(err, FLO_E_ABSENT, "there is no private key %.200s", word);
}

/* Copies a key to another folder.  The copy is synced and compared before the
 * original is deleted. */
static int copy(const struct flo_key *key, const char *to, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *copied = NULL;

    FLO_TRY(save_key(key, to, err));
    int rv = flo_key_load(to, &copied, err);
    if (rv == 0 && strcmp(flo_key_public(copied)->keyid, flo_key_public(key)->keyid) != 0) {
        rv = flo_fail(err, FLO_E_IO_READ, "%s reads as another key", to);
    }
    if (rv < 0) {
        unlink(to);
    }
    return rv;
}

/* Writes a sheet about the key, which a person prints or keeps with the USB
 * stick. */
static int write_sheet(const char *sheet, const char *key_path, const char *keyid,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    char at[25];

    flo_time_text(flo_wall_ms(), at);
    flo_buf_printf(&text,
                   "A private key of a Flotilla fleet\n\n"
                   "file    %s\nkey     %s\nmoved   %s\n\n"
                   "A root key decides whom the fleet's devices trust.  It is needed to\n"
                   "add, replace or revoke a key, and for nothing else:\n"
                   "  flotilla key trust NEW.pub --root %s\n\n"
                   "Lost, with no other root key: the fleet runs on, but its keys stay "
                   "as\n"
                   "they are until each device is enrolled again.  Keep a second copy in\n"
                   "another place.\n"
                   "In other hands: docs/runbook.md, \"A root key is lost or stolen\".\n",
                   key_path, keyid, at, key_path);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "sheet")
                       : flo_file_write(sheet, text.data, text.bytes, 0644, err);
}

int flo_cmd_key_move(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    const char *dir = flo_args_text(&cli->args, "to", "");
    char from[FLO_PAIR_PATH];
    char to[FLO_PAIR_PATH];
    char sheet[FLO_PAIR_PATH];

    FLO_TRY(find(cli->args.words[0], from, err));
    FLO_TRY(flo_key_load(from, &key, err));
    const char *slash = strrchr(from, '/');
    const char *name = slash == NULL ? from : slash + 1;
    snprintf(to, sizeof(to), "%.500s/%.400s", dir, name);
    snprintf(sheet, sizeof(sheet), "%.500s/%.*s.txt", dir, (int)strlen(name) - 4, name);
    FLO_TRY(copy(key, to, err));
    FLO_TRY(write_sheet(sheet, to, flo_key_public(key)->keyid, err));
    if (unlink(from) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", from);
    }
    flo_out_done(cli,
                 json_pack("{s:s,s:s,s:s,s:s}", "from", from, "to", to, "sheet", sheet, "keyid",
                           flo_key_public(key)->keyid),
                 "%s  moved to %s; %s says what it is for\n"
                 "its bytes may still lie on the disk it left: where that "
                 "matters, rotate it in from the stick\n",
                 from, to, sheet);
    return 0;
}
