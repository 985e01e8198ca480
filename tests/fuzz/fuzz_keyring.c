/* A keyring: as it stands in the database, and as it stands within its seal,
 * which whoever writes to the database can make for a public key.  Files that
 * were taken have names of a keyring, and are sealed and read again alike. */
#include <string.h>

#include "server-stub/state/keyring/keyring.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_key *key;
static struct flo_buf ca;

static void make(void)
{
    static const struct flo_certificate_spec spec = {.common_name = "fuzz", .days = 10};

    if (key == NULL) {
        must(flo_key_generate(&key, NULL) == 0);
        must(flo_authority_make(key, &spec, &ca, NULL) == 0);
    }
}

static void seal_and_open(json_t *files)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    char before[FLO_KEYRING_DIGEST], after[FLO_KEYRING_DIGEST];
    struct flo_keyring found = {.number = 0};
    struct flo_buf text = {0};
    const char *name;
    json_t *one;

    flo_public_key_pem(flo_key_public(key), pem);
    struct flo_keyring keyring = {
        .fleet = "fuzz",
        .number = 1,
        .files = files,
        .controllers = json_pack("{s:{s:s}}", flo_key_public(key)->keyid, "key", pem)};
    must(flo_keyring_seal(&keyring, key, &text, NULL) == 0);
    if (flo_keyring_open(text.data, text.bytes, key, ca.data, NULL, &found, NULL) == 0) {
        json_object_foreach(found.files, name, one)
        {
            must(flo_keyring_has_name(name));
            must(json_is_string(one));
        }
        must(flo_keyring_digest(files, before, NULL) == 0);
        must(flo_keyring_digest(found.files, after, NULL) == 0);
        must(strcmp(before, after) == 0);
        flo_keyring_deinit(&found);
    }
    json_decref(keyring.controllers);
    flo_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_keyring found = {.number = 0};
    json_t *files = NULL;

    make();
    if (flo_keyring_open((const char *)data, bytes, key, ca.data, NULL, &found, NULL) == 0) {
        flo_keyring_deinit(&found);
    }
    if (flo_json_parse((const char *)data, bytes, 65536, &files, NULL) == 0 &&
        json_is_object(files)) {
        seal_and_open(files);
    }
    json_decref(files);
    return 0;
}
