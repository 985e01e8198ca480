/* crash_pairs STATE_DIR: a device that renews.  It makes a key, gets a
 * certificate (of an authority of its own), keeps both as the next pair, and
 * believes that authority next to the one before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shell/identity/identity.h"
#include "base/host/crypto.h"

#define DEVICE "00000000-0000-4000-8000-000000000001"

static int issue(const struct flo_key *holder, struct flo_buf *authority, struct flo_buf *pem,
                 struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_certificate_spec its = {.common_name = "acme", .days = 3650};
    struct flo_certificate_spec spec = {.common_name = DEVICE, .days = 90, .is_client = true};
    int rv = flo_key_generate(&key, err);

    if (rv == 0) {
        rv = flo_authority_make(key, &its, authority, err);
    }
    return rv < 0 ? rv
                  : flo_certificate_issue_for(key, authority->data, authority->bytes,
                                              flo_key_public(holder), &spec, pem, err);
}

static int believe(const char *state_dir, const struct flo_buf *authority, struct flo_err *err)
{
    struct flo_identity *identity = calloc(1, sizeof(*identity));
    FLO_CLEANUP(flo_free_cleanup) char *before = NULL;
    struct flo_pem_part parts[2] = {{0}};
    const char *pems[2] = {authority->data, NULL};
    size_t count = 0;
    size_t bytes = 0;
    bool is_news;

    if (identity == NULL || !flo_path_join(identity->ca_file, sizeof(identity->ca_file), state_dir,
                                           "identity/ca.pem")) {
        free(identity);
        return flo_fail(err, FLO_E_MEMORY, "identity");
    }
    if (flo_file_read(identity->ca_file, FLO_PEM_BYTES_MAX, &before, &bytes, NULL) == 0 &&
        flo_certificates_split(before, bytes, parts, 2, &count, NULL) == 0) {
        before[parts[0].bytes] = '\0'; /* the first one stays */
        pems[1] = pems[0];
        pems[0] = before;
    }
    int rv = flo_authorities_write(identity, pems, pems[1] == NULL ? 1 : 2, &is_news, err);
    free(identity);
    return rv;
}

static int renew(const char *state_dir, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) authority = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_identity_pairs pairs;
    size_t place = FLO_PAIRS;
    int rv = flo_pairs_open(state_dir, DEVICE, &pairs, err);

    if (rv == 0) {
        place = flo_pairs_newest(&pairs);
    } else if (rv == FLO_E_ABSENT) {
        rv = flo_pairs_name(state_dir, &pairs, err);
    }
    if (rv == 0) {
        rv = flo_key_generate(&key, err);
    }
    if (rv == 0) {
        rv = issue(key, &authority, &pem, err);
    }
    if (rv == 0) {
        rv = believe(state_dir, &authority, err);
    }
    if (rv == 0) {
        rv = flo_pairs_write(&pairs, place, key, pem.data, 1000, 2000, &place, err);
    }
    if (rv == 0) {
        printf("%llu\n", (unsigned long long)pairs.list[place].number);
    }
    return rv;
}

int main(int argc, char **argv)
{
    struct flo_err err = {0};

    if (argc != 2) {
        return 2;
    }
    if (renew(argv[1], &err) < 0) {
        fprintf(stderr, "%s: %s\n", flo_error_id(err.code), err.what);
        return 1;
    }
    return 0;
}
