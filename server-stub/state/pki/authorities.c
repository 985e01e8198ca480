/* Authorities: makes, rotates and retires the fleet's certificate authorities.
 * Each authority in DIR/pki/ca.pem is accepted, so writing that file is the one
 * step that adds or retires one.  A key is written to disk before its
 * certificate is listed, and deleted after the certificate is no longer listed.
 * The first authority's key is ca.key, the others' are ca-KEYID.key. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/keys.h>

#include "server-stub/state/clock/clock.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"

#define CA_DAYS 7300

static void authority_free(struct flo_authority *authority)
{
    free(authority->pem);
    flo_key_free(authority->key);
    *authority = (struct flo_authority){0};
}

void flo_pki_authorities_close(struct flo_pki *pki)
{
    for (size_t i = 0; i < pki->authority_count; i++) {
        authority_free(&pki->authorities[i]);
    }
    pki->authority_count = 0;
    flo_buf_deinit(&pki->ca);
}

/* ---- the list ---- */

static int list_text(const struct flo_pki *pki, struct flo_buf *out, struct flo_err *err)
{
    for (size_t i = 0; i < pki->authority_count; i++) {
        flo_buf_add(out, pki->authorities[i].pem, pki->authorities[i].bytes);
    }
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "authorities") : 0;
}

/* Writes the file of authorities from memory, and then updates pki->ca. */
static int list_write(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_pki *pki = controller->pki;
    int rv = list_text(pki, &text, err);

    if (rv == 0 && !flo_pki_in_memory(controller)) {
        rv = flo_file_write(pki->files.ca_file, text.data, text.bytes, 0644, err);
        controller->has_new_files = true;
    }
    if (rv == 0) {
        struct flo_buf before = pki->ca;
        pki->ca = text;
        text = before;
    }
    return rv;
}

/* ---- one ---- */

static void key_name(const struct flo_public_key *key, char out[64])
{
    snprintf(out, 64, "pki/ca-%.16s.key", key->keyid);
}

static int take(struct flo_pki *pki, const char *pem, size_t bytes,
                const struct flo_certificate *facts, struct flo_key *key, struct flo_err *err)
{
    struct flo_authority *next = &pki->authorities[pki->authority_count];
    char hex[FLO_DIGEST_TEXT];

    next->pem = malloc(bytes + 1);
    if (next->pem == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "authority");
    }
    memcpy(next->pem, pem, bytes);
    next->pem[bytes] = '\0';
    next->bytes = bytes;
    next->key = key;
    next->fingerprint = facts->fingerprint;
    next->from_ms = facts->not_before_ms;
    next->until_ms = facts->not_after_ms;
    flo_hex_encode(facts->fingerprint.bytes, FLO_DIGEST_BYTES, hex);
    snprintf(next->name, sizeof(next->name), "%.16s", hex);
    pki->authority_count++;
    return 0;
}

/* Creates an authority with a unique subject, because brokers find authorities
 * by subject. */
static int make(struct flo_controller *controller, struct flo_key *key, bool is_first,
                struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    struct flo_certificate facts;
    char name[FLO_NAME_MAX + 1];

    snprintf(name, sizeof(name), is_first ? "Flotilla %.40s" : "Flotilla %.40s %.8s",
             controller->fleet, flo_key_public(key)->keyid);
    struct flo_certificate_spec spec = {.common_name = name, .days = CA_DAYS};
    FLO_TRY(flo_authority_make(key, &spec, &pem, err));
    FLO_TRY(flo_certificate_read(pem.data, pem.bytes, &facts, err));
    return take(controller->pki, pem.data, pem.bytes, &facts, key, err);
}

static int key_of(const struct flo_controller *controller, const struct flo_public_key *wanted,
                  struct flo_key **out, struct flo_err *err)
{
    char name[64];
    char path[4096];

    key_name(wanted, name);
    FLO_TRY(flo_pki_path(controller, name, path, err));
    int rv = flo_key_load(path, out, err);
    if (rv == FLO_E_ABSENT) {
        FLO_TRY(flo_pki_path(controller, "pki/ca.key", path, err));
        rv = flo_key_load(path, out, err);
    }
    if (rv == 0 && strcmp(flo_key_public(*out)->keyid, wanted->keyid) != 0) {
        flo_key_free(*out);
        rv = FLO_E_ABSENT;
    }
    return rv == FLO_E_ABSENT ? flo_fail(err, FLO_E_KEYS_ABSENT,
                                         "%s is not there, and certificates are issued by it", path)
                              : rv;
}

static int read_one(struct flo_controller *controller, const struct flo_pem_part *part,
                    struct flo_err *err)
{
    struct flo_certificate facts;
    struct flo_key *key;

    FLO_TRY(flo_certificate_read(part->pem, part->bytes, &facts, err));
    int rv = key_of(controller, &facts.key, &key, err);
    if (rv == 0) {
        rv = take(controller->pki, part->pem, part->bytes, &facts, key, err);
        if (rv < 0) {
            flo_key_free(key);
        }
    }
    return rv;
}

static int read_list(struct flo_controller *controller, const char *pem, size_t bytes,
                     struct flo_err *err)
{
    struct flo_pem_part parts[FLO_AUTHORITIES_MAX];
    size_t count = 0;
    int rv = flo_certificates_split(pem, bytes, parts, FLO_COUNT(parts), &count, err);

    for (size_t i = 0; rv == 0 && i < count; i++) {
        rv = read_one(controller, &parts[i], err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", controller->pki->files.ca_file);
    }
    return list_text(controller->pki, &controller->pki->ca, err);
}

/* ---- the first one ---- */

static int make_first(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_key *key;
    char path[4096];

    FLO_TRY(flo_pki_key(controller, "pki/ca.key", path, &key, err));
    int rv = make(controller, key, true, err);
    if (rv < 0) {
        flo_key_free(key);
        return rv;
    }
    return list_write(controller, err);
}

/* ---- rolled ---- */

static int add_next(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    struct flo_key *key;
    char name[64];
    char path[4096];
    int rv;

    if (pki->authority_count == FLO_AUTHORITIES_MAX) {
        flo_fail(err, FLO_E_STATE, "%d authorities are accepted already", FLO_AUTHORITIES_MAX);
        return flo_err_fix(err, "flotilla ca status; retire the oldest first");
    }
    FLO_TRY(flo_clock_signs(controller, err));
    rv = flo_key_generate(&key, err);
    FLO_TRY(rv);
    key_name(flo_key_public(key), name);
    if (!flo_pki_in_memory(controller)) {
        rv = flo_pki_path(controller, name, path, err);
        if (rv == 0) {
            rv = flo_key_save(key, path, err);
        }
    }
    if (rv == 0) {
        rv = make(controller, key, false, err);
    }
    if (rv < 0) {
        flo_key_free(key);
        return rv;
    }
    rv = list_write(controller, err);
    if (rv < 0) {
        authority_free(&pki->authorities[--pki->authority_count]);
    }
    return rv;
}

int flo_pki_rotate(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(add_next(controller, err));
    flo_outgoing_authorities(controller, false);
    return 0;
}

/* ---- open ---- */

/* Adds an authority when all have expired, because the controller could not
 * start without one.  Devices must then enrol again (docs/runbook.md). */
static int follow_ended(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    char text[25];

    for (size_t i = 0; i < pki->authority_count; i++) {
        flo_clock_began(controller, pki->authorities[i].from_ms);
    }
    if (flo_clock_signs(controller, NULL) < 0 || flo_wall_ms() < flo_pki_oldest(pki)->until_ms) {
        return 0;
    }
    flo_time_text(flo_pki_newest(pki)->until_ms, text);
    flo_log(FLO_LOG_WARN, "pki", "authority %s ended on %s: another one is made",
            flo_pki_newest(pki)->name, text);
    return add_next(controller, err);
}

int flo_pki_authorities_open(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    char FLO_CLEANUP(flo_free_cleanup) *pem = NULL;
    size_t bytes;

    if (flo_pki_in_memory(controller)) {
        return make_first(controller, err);
    }
    FLO_TRY(flo_pki_path(controller, "pki/ca.pem", pki->files.ca_file, err));
    int rv = flo_file_read(pki->files.ca_file, FLO_PEM_BYTES_MAX, &pem, &bytes, err);
    if (rv == FLO_E_ABSENT) {
        return make_first(controller, err);
    }
    if (rv == 0) {
        rv = read_list(controller, pem, bytes, err);
    }
    FLO_TRY(rv);
    return follow_ended(controller, err);
}

/* ---- retired ---- */

/* Deletes an authority's key, when the list on disk no longer has the
 * authority.  A key that remains does no harm. */
static void forget_key(const struct flo_controller *controller,
                       const struct flo_authority *authority)
{
    const struct flo_public_key *key = flo_key_public(authority->key);
    struct flo_key *first = NULL;
    char name[64];
    char path[4096];

    key_name(key, name);
    if (flo_pki_in_memory(controller) || flo_pki_path(controller, name, path, NULL) < 0 ||
        unlink(path) == 0 || flo_pki_path(controller, "pki/ca.key", path, NULL) < 0) {
        return;
    }
    if (flo_key_load(path, &first, NULL) == 0 &&
        strcmp(flo_key_public(first)->keyid, key->keyid) == 0) {
        unlink(path);
    }
    flo_key_free(first);
}

int flo_pki_retire(struct flo_controller *controller, const char *name, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    const struct flo_authority *found = flo_pki_authority(pki, name);

    if (found == NULL) {
        return flo_fail(err, FLO_E_ABSENT, "no authority %.64s", name);
    }
    FLO_TRY(flo_clock_signs(controller, err));
    size_t at = (size_t)(found - pki->authorities);
    struct flo_authority gone = *found;
    size_t after = --pki->authority_count - at;
    memmove(&pki->authorities[at], &pki->authorities[at + 1], after * sizeof(gone));
    int rv = list_write(controller, err);
    if (rv < 0) {
        memmove(&pki->authorities[at + 1], &pki->authorities[at], after * sizeof(gone));
        pki->authorities[at] = gone;
        pki->authority_count++;
        return rv;
    }
    forget_key(controller, &gone);
    authority_free(&gone);
    memset(&pki->authorities[pki->authority_count], 0, sizeof(gone));
    /* The removed authority may have issued the controller's own certificates,
     * so these are issued again. */
    rv = flo_pki_leaves(controller, err);
    flo_outgoing_authorities(controller, true);
    return rv;
}
