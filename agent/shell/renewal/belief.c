#include "agent/shell/renewal/belief.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/rows.h>

#include "agent/shell/identity/identity.h"
#include "base/host/crypto.h"

static bool believe(const struct flo_shell *shell, const char *const *pems, size_t count)
{
    struct flo_err err = {0};
    bool is_news = false;

    if (flo_authorities_write(&shell->identity, pems, count, &is_news, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "certificate", &err);
        return false;
    }
    if (is_news) {
        flo_log(FLO_LOG_INFO, "certificate", "other authorities are believed");
    }
    return is_news;
}

/* ---- by a statement ---- */

static bool has_statement(const struct flo_shell *shell)
{
    const struct flo_trust *trust = shell->identity.trust;

    return trust != NULL && flo_trust_ca_count(trust) > 0;
}

/* Trusts the authorities that the trust statement lists.  The list is compared
 * also at a start, because the last run may have ended before it was stored. */
bool flo_belief_of_statement(struct flo_belief *belief, const struct flo_shell *shell)
{
    const struct flo_trust *trust = shell->identity.trust;
    const char *pems[FLO_AUTHORITIES_MAX];
    size_t count;

    if (!has_statement(shell) || flo_trust_number(trust) == belief->statement) {
        return false;
    }
    belief->statement = flo_trust_number(trust);
    count = flo_trust_ca_count(trust);
    count = count < FLO_COUNT(pems) ? count : FLO_COUNT(pems);
    for (size_t i = 0; i < count; i++) {
        pems[i] = flo_trust_ca(trust, i);
    }
    return believe(shell, pems, count);
}

/* ---- by an answer ---- */

int flo_belief_check(const struct flo_shell *shell, const char *certificate, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *held = NULL;
    size_t bytes = 0;

    FLO_TRY(flo_file_read(shell->identity.ca_file, FLO_PEM_BYTES_MAX, &held, &bytes, err));
    return flo_certificate_is_by(certificate, strlen(certificate), held, bytes, err);
}

static bool is_among(const struct flo_authority_names *names, const char *name)
{
    return flo_rows_find(name, names->list, names->count, sizeof(names->list[0]), 0) != NULL;
}

/* Appends the authorities that are trusted now and that the answer lacks. */
static int add_old(const struct flo_identity *identity, const char *pems, struct flo_buf *out,
                   struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *held = NULL;
    struct flo_pem_part parts[FLO_AUTHORITIES_MAX];
    struct flo_authority_names named, believed;
    size_t bytes = 0, count = 0;

    FLO_TRY(flo_authorities_read(pems, strlen(pems), &named, err));
    FLO_TRY(flo_file_read(identity->ca_file, FLO_PEM_BYTES_MAX, &held, &bytes, err));
    FLO_TRY(flo_authorities_read(held, bytes, &believed, err));
    FLO_TRY(flo_certificates_split(held, bytes, parts, FLO_COUNT(parts), &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!is_among(&named, believed.list[i])) {
            flo_buf_add(out, parts[i].pem, parts[i].bytes);
            flo_buf_text(out, "\n");
        }
    }
    return 0;
}

bool flo_belief_of_answer(const struct flo_shell *shell, const char *pems)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf old = {0};
    struct flo_err err = {0};

    if (pems[0] == '\0' || has_statement(shell)) {
        return false;
    }
    if (add_old(&shell->identity, pems, &old, &err) < 0 || old.failed) {
        flo_log_err(FLO_LOG_ERROR, "certificate", &err);
        return false;
    }
    const char *list[] = {pems, old.data};
    return believe(shell, list, old.bytes > 0 ? 2 : 1);
}
