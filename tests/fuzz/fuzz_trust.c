/* A trust statement: read as a device reads it, and as a draft that goes round.
 * Taken text is written and read again.  It follows nothing that it was not
 * signed for. */
#include <stdlib.h>

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_trust *make_held(void)
{
    struct flo_trust *trust = flo_trust_new("demo");
    struct flo_key *key = NULL;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    must(flo_key_generate(&key, NULL) == 0);
    flo_public_key_pem(flo_key_public(key), pem);
    must(flo_trust_add(trust, pem, FLO_ROLE_RELEASE | FLO_ROLE_ORDER, NULL, NULL) == 0);
    flo_key_free(key);
    return trust;
}

static void write_again(const struct flo_trust *trust)
{
    struct flo_buf text = {0};
    struct flo_trust *again = NULL;

    flo_trust_text(trust, &text);
    must(!text.failed);
    must(flo_trust_draft_parse((const char *)text.data, text.bytes, &again, NULL) == 0);
    must(flo_trust_number(again) == flo_trust_number(trust));
    must(flo_trust_count(again) == flo_trust_count(trust));
    must(flo_digest_equal(flo_trust_digest(again), flo_trust_digest(trust)));
    flo_trust_free(again);
    flo_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_trust *held;
    struct flo_trust *trust = NULL;
    enum flo_trust_standing standing;

    if (held == NULL) {
        held = make_held();
    }
    if (flo_trust_draft_parse((const char *)data, bytes, &trust, NULL) == 0) {
        must(flo_trust_number(trust) >= 2 && flo_trust_is_signed(trust));
        must(flo_trust_follows(held, trust, &standing, NULL) < 0 || standing != FLO_TRUST_NEXT);
        write_again(trust);
        flo_trust_free(trust);
    }
    trust = NULL;
    if (flo_trust_parse((const char *)data, bytes, &trust, NULL) == 0) {
        must(flo_trust_follows(held, trust, &standing, NULL) < 0 || standing != FLO_TRUST_NEXT);
        flo_trust_free(trust);
    }
    return 0;
}
