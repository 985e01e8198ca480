/* No memory says nothing of a document: each allocation on the way of a
 * release, an order, a statement, a certificate and the answer to an enrolment
 * fails once.  The outcome is what it is with memory, or memory.exhausted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/release.h>

#include "agent/shell/identity/enrol_answer.h"
#include "agent/shell/identity/identity.h"
#include "base/host/config.h"
#include "base/host/crypto.h"
#include "base/host/db.h"
#include "base/host/jws.h"
#include "base/host/yaml.h"
#include "unit/waits.h"

/* ---- the heap ---- */

/* Libraries allocate in the test's own functions, which this linker lets in
 * front of the C library's.  A sanitizer has its own; nothing fails there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define HAS_HEAP 0
#else
#define HAS_HEAP 1
#endif

static bool is_counting;
static unsigned long count, failing; /* failing 0: none */

#if HAS_HEAP
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t items, size_t bytes);
void *__libc_realloc(void *data, size_t bytes);
void *malloc(size_t bytes);
void *calloc(size_t items, size_t bytes);
void *realloc(void *data, size_t bytes);

static bool fails(void)
{
    return is_counting && ++count == failing;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(items, bytes);
}

void *realloc(void *data, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(data, bytes);
}
#endif

/* ---- documents ---- */

#define BLOB "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static const char body[] =
    "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.0.0\","
    "\"number\":2,\"future\":{\"kept\":true},\"variants\":[{\"name\":\"q4_0\","
    "\"needs\":{},\"files\":[\"model.gguf\"]}],\"files\":[{\"name\":"
    "\"model.gguf\",\"role\":\"model\",\"digest\":\"" BLOB
    "\",\"bytes\":5,\"get\":[{\"codec\":\"raw\",\"digest\":\"" BLOB "\",\"bytes\":5}]}]}";

static const char freeze[] =
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0001\",\"op\":\"freeze\","
    "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":1,\"issued_at_ms\":1,"
    "\"expires_at_ms\":2,\"by\":\"ops\",\"args\":{}}";

static struct {
    struct flo_key *key, *order, *root;
    struct flo_trust *trust;
    struct flo_buf release, freeze, statement;
    struct flo_buf authority, certificate, request;
    char key_pem[FLO_KEY_PEM_MAX];
    char *answer;
    size_t answer_bytes;
} w;

static void trust_key(struct flo_trust *trust, const struct flo_key *key, unsigned roles)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(flo_trust_add(trust, pem, roles, NULL, NULL), 0);
}

static void make_statement(void)
{
    struct flo_trust *draft = NULL, *read = NULL;
    struct flo_buf text = {0};

    assert_int_equal(flo_trust_next(w.trust, 5, &draft, NULL), 0);
    trust_key(draft, w.root, FLO_ROLE_ROOT);
    flo_trust_set_threshold(draft, 1);
    assert_int_equal(flo_trust_draft(draft, w.trust, &text, NULL), 0);
    assert_int_equal(flo_trust_draft_parse(text.data, text.bytes, &read, NULL), 0);
    assert_int_equal(flo_trust_sign(read, w.key, NULL), 0);
    assert_int_equal(flo_trust_sign(read, w.root, NULL), 0);
    flo_trust_text(read, &w.statement);
    flo_buf_deinit(&text);
    flo_trust_free(read);
    flo_trust_free(draft);
}

static int begin(void **state)
{
    const struct flo_certificate_spec spec = {.common_name = "demo", .days = 9};

    (void)state;
    assert_int_equal(flo_key_generate(&w.key, NULL), 0);
    assert_int_equal(flo_key_generate(&w.order, NULL), 0);
    assert_int_equal(flo_key_generate(&w.root, NULL), 0);
    w.trust = flo_trust_new("demo");
    trust_key(w.trust, w.key, FLO_ROLE_RELEASE);
    trust_key(w.trust, w.order, FLO_ROLE_ORDER);
    assert_int_equal(flo_release_sign(body, strlen(body), w.key, &w.release, NULL), 0);
    assert_int_equal(flo_order_sign(freeze, strlen(freeze), w.order, &w.freeze, NULL), 0);
    make_statement();
    assert_int_equal(flo_authority_make(w.key, &spec, &w.authority, NULL), 0);
    assert_int_equal(flo_csr_make(w.order, "demo", &w.request, NULL), 0);
    assert_int_equal(flo_certificate_issue_for(w.key, w.authority.data, w.authority.bytes,
                                               flo_key_public(w.order), &spec, &w.certificate,
                                               NULL),
                     0);
    assert_int_equal(flo_key_pem(w.key, w.key_pem, NULL), 0);
    return flo_file_read("tests/fuzz/corpora/enrol_answer/good", 65536, &w.answer, &w.answer_bytes,
                         NULL);
}

static int end(void **state)
{
    (void)state;
    flo_key_free(w.key);
    flo_key_free(w.order);
    flo_key_free(w.root);
    flo_trust_free(w.trust);
    flo_buf_deinit(&w.release);
    flo_buf_deinit(&w.freeze);
    flo_buf_deinit(&w.statement);
    flo_buf_deinit(&w.authority);
    flo_buf_deinit(&w.certificate);
    flo_buf_deinit(&w.request);
    free(w.answer);
    return 0;
}

/* ---- ways ---- */

static int release(struct flo_err *err)
{
    struct flo_release_verified verified = {0};
    int rv = flo_release_verify(w.release.data, w.release.bytes, w.trust, &verified, err);

    if (rv == 0) {
        flo_release_verified_deinit(&verified);
    }
    return rv;
}

/* One that another key signed: it stays refused, or memory lacks. */
static int foreign_release(struct flo_err *err)
{
    struct flo_release_verified verified = {0};

    w.release.data[w.release.bytes - 20] ^= 1;
    int rv = flo_release_verify(w.release.data, w.release.bytes, w.trust, &verified, err);
    w.release.data[w.release.bytes - 20] ^= 1;
    return rv;
}

static int order(struct flo_err *err)
{
    static struct flo_order_verified verified;

    return flo_order_verify(w.freeze.data, w.freeze.bytes, w.trust, &verified, err);
}

static int statement(struct flo_err *err)
{
    enum flo_trust_standing standing;
    struct flo_trust *next = NULL;
    int rv = flo_trust_parse(w.statement.data, w.statement.bytes, &next, err);

    if (rv == 0) {
        rv = flo_trust_follows(w.trust, next, &standing, err);
        assert_true(rv < 0 || standing == FLO_TRUST_NEXT);
    }
    flo_trust_free(next);
    return rv;
}

static int read_certificate(struct flo_err *err)
{
    struct flo_certificate facts;

    return flo_certificate_read(w.certificate.data, w.certificate.bytes, &facts, err);
}

static int verify_certificate(struct flo_err *err)
{
    return flo_certificate_verify(w.certificate.data, w.certificate.bytes, w.authority.data,
                                  w.authority.bytes, err);
}

static int foreign_certificate(struct flo_err *err)
{
    return flo_certificate_verify(w.authority.data, w.authority.bytes, w.certificate.data,
                                  w.certificate.bytes, err);
}

static int issue(struct flo_err *err)
{
    const struct flo_certificate_spec spec = {.common_name = "demo",
                                              .days = 9,
                                              .is_server = true,
                                              .dns_count = 1,
                                              .dns = (const char *const[]){"a.example"},
                                              .address_count = 1,
                                              .addresses = (const char *const[]){"10.0.0.1"}};
    struct flo_buf out = {0};
    int rv = flo_certificate_issue(w.key, w.authority.data, w.authority.bytes, w.request.data,
                                   w.request.bytes, &spec, &out, err);

    flo_buf_deinit(&out);
    return rv;
}

static int make_request(struct flo_err *err)
{
    struct flo_buf out = {0};
    int rv = flo_csr_make(w.key, "demo", &out, err);

    flo_buf_deinit(&out);
    return rv;
}

static int make_list(struct flo_err *err)
{
    const struct flo_revoked revoked = {.serial = "0102", .at_ms = 86400000};
    struct flo_buf out = {0};
    int rv = flo_crl_make(w.key, w.authority.data, w.authority.bytes, &revoked, 1, waits_wall_ms(),
                          &out, err);

    flo_buf_deinit(&out);
    return rv;
}

static int name_authority(struct flo_err *err)
{
    char out[FLO_AUTHORITY_NAME];

    return flo_authority_file_name(w.authority.data, w.authority.bytes, out, err);
}

static int enrolment(struct flo_err *err)
{
    struct flo_enrol_answer answer;
    int rv = flo_enrol_answer_read(w.answer, w.answer_bytes, &answer, err);

    if (rv == 0) {
        flo_enrol_answer_deinit(&answer);
    }
    return rv;
}

static int sign(struct flo_err *err)
{
    uint8_t signature[FLO_SIGNATURE_BYTES];

    return flo_sign(w.key, "x", 1, signature, err);
}

static int parse_key(struct flo_err *err)
{
    struct flo_key *key = NULL;
    int rv = flo_key_parse(w.key_pem, strlen(w.key_pem), &key, err);

    flo_key_free(key);
    return rv;
}

static int make_key(struct flo_err *err)
{
    struct flo_key *key = NULL;
    int rv = flo_key_generate(&key, err);

    flo_key_free(key);
    return rv;
}

static int agree(struct flo_err *err)
{
    uint8_t out[FLO_DIGEST_BYTES];

    return flo_key_agree(w.key, flo_key_public(w.order), "test", out, err);
}

static int parse_yaml(struct flo_err *err)
{
    static const char text[] = "a: 1\nb:\n  - x\n  - \"y\"\nc: {d: 2.5}\n";
    struct flo_yaml *yaml = NULL;
    int rv = flo_yaml_parse(text, strlen(text), "a.yaml", &yaml, err);

    flo_yaml_free(yaml);
    return rv;
}

static int database(struct flo_err *err)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = NULL;
    int rv = flo_db_open(":memory:", FLO_DB_SYNC_FULL, 0, &db, err);

    if (rv == 0) {
        rv = flo_db_exec(db, "CREATE TABLE a(b TEXT); INSERT INTO a VALUES(1)", err);
    }
    return rv;
}

static int read_request(struct flo_err *err)
{
    static const char text[] = "{\"model\":\"tiny\",\"prompt\":\"a\",\"max_tokens\":1}";
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;

    return flo_json_body(text, sizeof(text) - 1, 65536, &tree, err);
}

/* ---- each allocation ---- */

enum { EACH = 100, SAMPLE = 60 };

struct way {
    const char *name;
    int (*go)(struct flo_err *err);
};

static void sweep(void **state)
{
    const struct way *way = *state;
    struct flo_err err = {0};
    int wanted = way->go(&err); /* also: what a library keeps for later */
    unsigned long all;
    unsigned long kept = 0;

    if (!HAS_HEAP) {
        skip();
    }
    count = failing = 0;
    is_counting = true;
    assert_int_equal(way->go(&err), wanted);
    is_counting = false;
    all = count;
    /* A signature allocates thousands of numbers: every so many of those. */
    for (unsigned long i = 1; i <= all; i += i < EACH || i + EACH > all ? 1 : 1 + all / SAMPLE) {
        err = (struct flo_err){0};
        count = 0;
        failing = i;
        is_counting = true;
        int rv = way->go(&err);
        is_counting = false;
        if (rv != wanted && rv != FLO_E_MEMORY) {
            print_error("%s: allocation %lu of %lu: %s: %s\n", way->name, i, all,
                        rv == 0 ? "taken" : flo_error_id(rv), err.what);
            kept++;
        }
    }
    failing = 0;
    assert_int_equal(kept, 0);
    assert_int_equal(way->go(&err), wanted); /* nothing stayed behind */
}

#define WAY(name, function)                                                                        \
    {                                                                                              \
        name, sweep, NULL, NULL, &(struct way)                                                     \
        {                                                                                          \
            name, function                                                                         \
        }                                                                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAY("a release", release),
        WAY("a release with a bad signature", foreign_release),
        WAY("an order", order),
        WAY("a statement", statement),
        WAY("a certificate", read_certificate),
        WAY("a certificate and its authority", verify_certificate),
        WAY("a certificate of others", foreign_certificate),
        WAY("a new certificate", issue),
        WAY("a request", make_request),
        WAY("a list of revoked", make_list),
        WAY("an authority's name", name_authority),
        WAY("an answer to an enrolment", enrolment),
        WAY("a signature", sign),
        WAY("a key's file", parse_key),
        WAY("a new key", make_key),
        WAY("an agreement", agree),
        WAY("yaml", parse_yaml),
        WAY("a database", database),
        WAY("a client's request", read_request),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, begin, end);
}
