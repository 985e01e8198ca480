/* Keys, signatures and certificates: ECDSA P-256 with SHA-256 (mbedTLS
 * inside).  The one place that knows an asymmetric key.
 *
 * Objects belong to one thread at a time; a public key is plain data and may
 * be copied.  Randomness is the kernel's (flo_random). */
#ifndef FLOTILLA_HOST_CRYPTO_H
#define FLOTILLA_HOST_CRYPTO_H

#include <flotilla/base.h>

#define FLO_SIGNATURE_BYTES 64       /* r || s, big endian */
#define FLO_KEYID_TEXT 65            /* 64 hex and a NUL */
#define FLO_PUBLIC_KEY_PEM_MAX 256   /* with its NUL */
#define FLO_PEM_BYTES_MAX (64 << 10) /* any PEM file that is read */

/* ---- secrets ---- */

/* Compare without telling by time where the bytes differ. */
bool flo_secret_equal(const void *a, const void *b, size_t bytes);
/* Overwrite so that the compiler keeps it. */
void flo_secret_wipe(void *data, size_t bytes);
/* Overwrite 64 KiB of the stack below the caller: what functions left there,
 * and vector registers with a secret that the linker saved at a first call. */
void flo_secret_stack_wipe(void);
/* flo_buf_deinit for FLO_CLEANUP, of a buffer that has a secret. */
void flo_secret_buf_deinit(struct flo_buf *buf);
/* Read a file that holds a secret: regular, ours or root's, and closed to
 * group and others, else FLO_E_CFG_PERM.  The caller frees *data, which is
 * NUL-terminated.  FLO_E_ABSENT, FLO_E_IO_OPEN, FLO_E_IO_READ,
 * FLO_E_META_TOO_LARGE. */
FLO_MUST_USE int flo_secret_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                                 struct flo_err *err);
/* The first line of such a file, that of a token with which we ask.  Here root
 * takes also a file of another user, as that of a service: who owns it knows
 * the token anyway, and can put there nothing but another one of their own.
 * That is no right to choose the key with which root signs: not for keys. */
FLO_MUST_USE int flo_token_read(const char *path, char *out, size_t bytes, struct flo_err *err);

/* ---- keys ---- */

/* A P-256 public key that was checked to be on the curve. */
struct flo_public_key {
    uint8_t point[65];          /* 0x04 || x || y */
    char keyid[FLO_KEYID_TEXT]; /* hex SHA-256 of SubjectPublicKeyInfo */
};
/* A private key. */
struct flo_key;

FLO_MUST_USE int flo_key_generate(struct flo_key **out, struct flo_err *err);
/* PEM, SEC 1 or PKCS#8, not encrypted, P-256; else FLO_E_SIG_FORMAT.  `pem`
 * need not be terminated. */
FLO_MUST_USE int flo_key_parse(const char *pem, size_t bytes, struct flo_key **out,
                               struct flo_err *err);
/* As flo_secret_read and flo_key_parse. */
FLO_MUST_USE int flo_key_load(const char *path, struct flo_key **out, struct flo_err *err);
/* PEM into `out`, which holds FLO_KEY_PEM_MAX; wipe it afterwards. */
#define FLO_KEY_PEM_MAX 512
FLO_MUST_USE int flo_key_pem(const struct flo_key *key, char *out, struct flo_err *err);
/* PEM with mode 0600, whole or not at all. */
FLO_MUST_USE int flo_key_save(const struct flo_key *key, const char *path, struct flo_err *err);
/* Wipes; NULL is fine. */
void flo_key_free(struct flo_key *key);
/* flo_key_free(*key) for FLO_CLEANUP. */
void flo_key_cleanup(struct flo_key **key);
/* The key's public half; valid as long as the key. */
const struct flo_public_key *flo_key_public(const struct flo_key *key);

/* PEM of a SubjectPublicKeyInfo with a P-256 point, else FLO_E_SIG_FORMAT. */
FLO_MUST_USE int flo_public_key_parse(const char *pem, size_t bytes, struct flo_public_key *out,
                                      struct flo_err *err);
FLO_MUST_USE int flo_public_key_load(const char *path, struct flo_public_key *out,
                                     struct flo_err *err);
/* `out` holds FLO_PUBLIC_KEY_PEM_MAX. */
void flo_public_key_pem(const struct flo_public_key *key, char *out);
/* PEM with mode 0644. */
FLO_MUST_USE int flo_public_key_save(const struct flo_public_key *key, const char *path,
                                     struct flo_err *err);

/* ---- signatures ---- */

/* Sign SHA-256(data), deterministic (RFC 6979) with the low one of s and n-s;
 * `signature` holds FLO_SIGNATURE_BYTES.  Fails only without memory. */
FLO_MUST_USE int flo_sign(const struct flo_key *key, const void *data, size_t bytes,
                          uint8_t *signature, struct flo_err *err);
/* 0 when `signature` (r || s) is of `key` over SHA-256(data).
 * FLO_E_SIG_FORMAT  not 64 bytes
 * FLO_E_SIG_BAD     of another key or other bytes, or r or s is 0 or >= n */
FLO_MUST_USE int flo_verify(const struct flo_public_key *key, const void *data, size_t bytes,
                            const void *signature, size_t signature_bytes, struct flo_err *err);
/* Is s at most half of the curve's order?  With r, s also r, n-s is a good
 * signature, which anybody can reckon: documents take the low one.  Pure. */
bool flo_signature_is_low(const uint8_t *signature);

/* ---- agreements ---- */

/* A secret that only the owners of the two private keys can make: ECDH, then
 * HKDF-SHA256 (RFC 5869) without salt and with `purpose` as info.  The key may
 * sign, too: ECDSA and such an agreement with one key are safe together
 * (Degabriele and others, CT-RSA 2012). */
FLO_MUST_USE int flo_key_agree(const struct flo_key *key, const struct flo_public_key *other,
                               const char *purpose, uint8_t out[FLO_DIGEST_BYTES],
                               struct flo_err *err);

/* ---- sealed bytes ---- */

/* AES-256-GCM: nobody without the key reads `data`, or changes it or the text
 * that it is about.  `out` holds bytes + FLO_SEALED_MORE. */
#define FLO_SEALED_MORE 28 /* nonce and tag */
FLO_MUST_USE int flo_sealed_make(const uint8_t key[FLO_DIGEST_BYTES], const char *about,
                                 const void *data, size_t bytes, uint8_t *out, struct flo_err *err);
/* `out` holds bytes - FLO_SEALED_MORE.  FLO_E_SIG_FORMAT, FLO_E_SIG_BAD. */
FLO_MUST_USE int flo_sealed_open(const uint8_t key[FLO_DIGEST_BYTES], const char *about,
                                 const uint8_t *data, size_t bytes, uint8_t *out,
                                 struct flo_err *err);

/* ---- certificates ---- */

/* Contents of a certificate to be issued.  Zero-initialise. */
struct flo_certificate_wish {
    const char *common_name; /* 1..64 of A-Z a-z 0-9 blank . _ : @ - */
    unsigned days;           /* 1..36500, cut at the authority's end */
    uint64_t life_ms;        /* instead of days, 1000 or more; 0: days */
    bool is_server;          /* extended key usage serverAuth */
    bool is_client;          /* extended key usage clientAuth */
    const char *const *dns;  /* names it may serve; at most 16 */
    size_t dns_count;
    const char *const *addresses; /* IPv4 or IPv6 texts; at most 16 */
    size_t address_count;
    uint64_t now_ms; /* 0: the wall clock; see FLO_BACKDATED_MS */
};
/* So long before its time a certificate is valid: clocks differ. */
#define FLO_BACKDATED_MS UINT64_C(3600000)

/* Contents of a certificate. */
struct flo_certificate {
    char common_name[65];
    char serial[65]; /* hex */
    uint64_t not_before_ms;
    uint64_t not_after_ms;
    bool is_authority;
    struct flo_digest fingerprint; /* SHA-256 of its DER */
    struct flo_public_key key;
};

/* Append a PEM certificate signing request.  FLO_E_USAGE: common name. */
FLO_MUST_USE int flo_csr_make(const struct flo_key *key, const char *common_name,
                              struct flo_buf *pem, struct flo_err *err);
/* Append the PEM of a self-signed authority (only common_name, days and
 * now_ms of the wish count).  FLO_E_USAGE: the wish. */
FLO_MUST_USE int flo_authority_make(const struct flo_key *key,
                                    const struct flo_certificate_wish *wish, struct flo_buf *pem,
                                    struct flo_err *err);
/* Issue for the key of a signing request and append the PEM.  Subject and
 * extensions of the request are ignored: the wish decides.
 * FLO_E_SIG_FORMAT  the request is malformed or its key is not P-256
 * FLO_E_SIG_BAD     the requester does not have the private key
 * FLO_E_STATE       authority key and certificate do not belong together, or
 *                   the authority has expired
 * FLO_E_USAGE       the wish */
FLO_MUST_USE int flo_certificate_issue(const struct flo_key *authority, const char *authority_pem,
                                       size_t authority_bytes, const char *csr_pem,
                                       size_t csr_bytes, const struct flo_certificate_wish *wish,
                                       struct flo_buf *pem, struct flo_err *err);
/* The same for a key that is at hand, without a request. */
FLO_MUST_USE int flo_certificate_issue_for(const struct flo_key *authority,
                                           const char *authority_pem, size_t authority_bytes,
                                           const struct flo_public_key *holder,
                                           const struct flo_certificate_wish *wish,
                                           struct flo_buf *pem, struct flo_err *err);
/* Read the first certificate of a PEM text.  FLO_E_SIG_FORMAT: malformed,
 * not P-256, or a life that has no begin, no end, or the end first. */
FLO_MUST_USE int flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                                      struct flo_err *err);
/* Did one of these authorities issue it, and is it valid now?  FLO_E_NET_TLS if
 * not. */
FLO_MUST_USE int flo_certificate_verify(const char *pem, size_t bytes, const char *authority_pem,
                                        size_t authority_bytes, struct flo_err *err);
/* The same at any time: the clock may be wrong. */
FLO_MUST_USE int flo_certificate_is_by(const char *pem, size_t bytes, const char *authority_pem,
                                       size_t authority_bytes, struct flo_err *err);

/* ---- authorities ---- */

/* A certificate within a PEM text of several; borrowed. */
struct flo_pem_part {
    const char *pem;
    size_t bytes;
};
/* Cut a PEM text into its certificates; nothing is read.  FLO_E_SIG_FORMAT:
 * there is none, one without an end, or more than `max`. */
FLO_MUST_USE int flo_certificates_split(const char *pem, size_t bytes, struct flo_pem_part *out,
                                        size_t max, size_t *count, struct flo_err *err);
/* The file name under which OpenSSL looks for an authority in a folder, as
 * "1a2b3c4d.0"; `out` holds FLO_AUTHORITY_NAME. */
#define FLO_AUTHORITY_NAME 16
FLO_MUST_USE int flo_authority_file_name(const char *pem, size_t bytes, char *out,
                                         struct flo_err *err);

/* A certificate that its authority takes back. */
struct flo_revoked {
    const char *serial; /* hex */
    uint64_t at_ms;
};
/* Append the PEM of an authority's list of revoked certificates.  It holds to
 * the authority's end: brokers refuse everybody when a list has ended.  Among
 * two lists readers take the one with the later `now_ms`, in whole seconds.
 * FLO_E_STATE: authority key and certificate do not belong together.
 * FLO_E_SIG_FORMAT: a serial that is no hex. */
FLO_MUST_USE int flo_crl_make(const struct flo_key *authority, const char *authority_pem,
                              size_t authority_bytes, const struct flo_revoked *revoked,
                              size_t count, uint64_t now_ms, struct flo_buf *pem,
                              struct flo_err *err);

#endif
