/* Keys, signatures and certificates: ECDSA P-256 with SHA-256 (mbedTLS inside).
 * No other file handles asymmetric keys.
 *
 * Objects belong to one thread at a time; a public key is plain data and may
 * be copied.  Randomness is the kernel's (flo_random). */
#ifndef FLOTILLA_HOST_CRYPTO_H
#define FLOTILLA_HOST_CRYPTO_H

#include <flotilla/base.h>

#define FLO_SIGNATURE_BYTES 64       /* r || s, big endian */
#define FLO_KEYID_TEXT 65            /* 64 hex digits and a NUL */
#define FLO_PUBLIC_KEY_PEM_MAX 256   /* with its NUL */
#define FLO_PEM_BYTES_MAX (64 << 10) /* limit for every PEM file that is read */

/* ---- secrets ---- */

/* Compares in constant time: the duration does not tell where the bytes
 * differ. */
bool flo_secret_equal(const void *a, const void *b, size_t bytes);
/* Overwrites the data in a way that the compiler does not optimise away. */
void flo_secret_wipe(void *data, size_t bytes);
/* Overwrites 64 KiB of the stack below the caller.  Earlier calls leave secrets
 * there, and so does the dynamic linker, which saves vector registers at a
 * function's first call. */
void flo_secret_stack_wipe(void);
/* flo_buf_deinit() for FLO_CLEANUP that also wipes the buffer, for secrets. */
void flo_secret_buf_deinit(struct flo_buf *buf);
/* Read a file that holds a secret: regular, ours or root's, and closed to
 * group and others, else FLO_E_CFG_PERM.  The caller frees *data, which is
 * NUL-terminated.  FLO_E_ABSENT, FLO_E_IO_OPEN, FLO_E_IO_READ,
 * FLO_E_META_TOO_LARGE. */
FLO_MUST_USE int flo_secret_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                                 struct flo_err *err);
/* Reads the first line of a secret file, for tokens that this program presents
 * to a server.  Unlike flo_secret_read, root may also read a file of another
 * user, for example a service's.  That user knows the token already, and could
 * only replace it by another token of their own.  Do not use this for keys:
 * that user would choose the key with which root signs. */
FLO_MUST_USE int flo_token_read(const char *path, char *out, size_t bytes, struct flo_err *err);

/* ---- keys ---- */

/* A P-256 public key.  The point is known to be on the curve. */
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
/* Reads a key file: flo_secret_read(), then flo_key_parse(). */
FLO_MUST_USE int flo_key_load(const char *path, struct flo_key **out, struct flo_err *err);
/* Writes the key as PEM to `out`, which holds FLO_KEY_PEM_MAX.  The caller
 * wipes it afterwards. */
#define FLO_KEY_PEM_MAX 512
FLO_MUST_USE int flo_key_pem(const struct flo_key *key, char *out, struct flo_err *err);
/* Writes the key as PEM with mode 0600, atomically. */
FLO_MUST_USE int flo_key_save(const struct flo_key *key, const char *path, struct flo_err *err);
/* Wipes and frees the key.  NULL is fine. */
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
/* Writes the key as PEM with mode 0644. */
FLO_MUST_USE int flo_public_key_save(const struct flo_public_key *key, const char *path,
                                     struct flo_err *err);

/* ---- signatures ---- */

/* Signs SHA-256(data) deterministically (RFC 6979), with the lower one of s and
 * n-s.  `signature` holds FLO_SIGNATURE_BYTES.  Fails only for lack of
 * memory. */
FLO_MUST_USE int flo_sign(const struct flo_key *key, const void *data, size_t bytes,
                          uint8_t *signature, struct flo_err *err);
/* 0 when `signature` (r || s) is of `key` over SHA-256(data).
 * FLO_E_SIG_FORMAT  not 64 bytes
 * FLO_E_SIG_BAD     of another key or other bytes, or r or s is 0 or >= n */
FLO_MUST_USE int flo_verify(const struct flo_public_key *key, const void *data, size_t bytes,
                            const void *signature, size_t signature_bytes, struct flo_err *err);
/* Returns whether s is at most half of the curve's order.  With (r, s) also (r,
 * n-s) is valid, and anybody can compute it, so documents take the low s only.
 * Pure. */
bool flo_signature_is_low(const uint8_t *signature);

/* ---- agreements ---- */

/* Makes a secret that only the owners of the two private keys can compute:
 * ECDH, then HKDF-SHA256 (RFC 5869) without salt and with `purpose` as info.
 * The same key may also sign: ECDSA and ECDH with one key are safe together
 * (Degabriele and others, CT-RSA 2012). */
FLO_MUST_USE int flo_key_agree(const struct flo_key *key, const struct flo_public_key *other,
                               const char *purpose, uint8_t out[FLO_DIGEST_BYTES],
                               struct flo_err *err);

/* ---- sealed bytes ---- */

/* Encrypts `data` with AES-256-GCM.  Without the key nobody can read `data`, or
 * change it or the text `about`, which is authenticated but not stored.  `out`
 * holds bytes + FLO_SEALED_MORE. */
#define FLO_SEALED_MORE 28 /* nonce and tag */
FLO_MUST_USE int flo_sealed_make(const uint8_t key[FLO_DIGEST_BYTES], const char *about,
                                 const void *data, size_t bytes, uint8_t *out, struct flo_err *err);
/* Decrypts.  `out` holds bytes - FLO_SEALED_MORE.  FLO_E_SIG_FORMAT,
 * FLO_E_SIG_BAD. */
FLO_MUST_USE int flo_sealed_open(const uint8_t key[FLO_DIGEST_BYTES], const char *about,
                                 const uint8_t *data, size_t bytes, uint8_t *out,
                                 struct flo_err *err);

/* ---- certificates ---- */

/* Options for a certificate to be issued.  Zero-initialise. */
struct flo_certificate_spec {
    const char *common_name; /* 1..64 of A-Z a-z 0-9 blank . _ : @ - */
    unsigned days;           /* 1..36500; the certificate ends no later than its authority */
    uint64_t life_ms;        /* 1000 or more, in place of `days`; 0: `days` counts */
    bool is_server;          /* extended key usage serverAuth */
    bool is_client;          /* extended key usage clientAuth */
    const char *const *dns;  /* DNS names of the server; at most 16 */
    size_t dns_count;
    const char *const *addresses; /* IP addresses (IPv4 or IPv6 texts); at most 16 */
    size_t address_count;
    uint64_t now_ms; /* 0: the wall clock; see FLO_BACKDATED_MS */
};
/* Each certificate is valid from this long before it is issued, because clocks
 * differ. */
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
/* Append the PEM of a self-signed authority (only common_name, days and now_ms
 * of the options count).  FLO_E_USAGE: bad options. */
FLO_MUST_USE int flo_authority_make(const struct flo_key *key,
                                    const struct flo_certificate_spec *spec, struct flo_buf *pem,
                                    struct flo_err *err);
/* Issues a certificate for the key of a signing request and appends the PEM.
 * Subject and extensions of the request are ignored; `spec` sets them.
 *   FLO_E_SIG_FORMAT  the request is malformed or its key is not P-256
 *   FLO_E_SIG_BAD     the requester does not have the private key
 *   FLO_E_STATE       authority key and certificate do not belong together,
 *                     or the authority has expired
 *   FLO_E_USAGE       bad options */
FLO_MUST_USE int flo_certificate_issue(const struct flo_key *authority, const char *authority_pem,
                                       size_t authority_bytes, const char *csr_pem,
                                       size_t csr_bytes, const struct flo_certificate_spec *spec,
                                       struct flo_buf *pem, struct flo_err *err);
/* As flo_certificate_issue(), for a public key without a request. */
FLO_MUST_USE int flo_certificate_issue_for(const struct flo_key *authority,
                                           const char *authority_pem, size_t authority_bytes,
                                           const struct flo_public_key *holder,
                                           const struct flo_certificate_spec *spec,
                                           struct flo_buf *pem, struct flo_err *err);
/* Reads the first certificate of a PEM text.  FLO_E_SIG_FORMAT: it is
 * malformed, is not P-256, or lacks a start or end of validity, or ends before
 * it begins. */
FLO_MUST_USE int flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                                      struct flo_err *err);
/* Checks that one of these authorities issued the certificate and that it is
 * valid now.  FLO_E_NET_TLS if not. */
FLO_MUST_USE int flo_certificate_verify(const char *pem, size_t bytes, const char *authority_pem,
                                        size_t authority_bytes, struct flo_err *err);
/* As flo_certificate_verify(), without the check of dates: the clock may be
 * wrong. */
FLO_MUST_USE int flo_certificate_is_by(const char *pem, size_t bytes, const char *authority_pem,
                                       size_t authority_bytes, struct flo_err *err);

/* ---- authorities ---- */

/* A certificate within a PEM text of several; borrowed. */
struct flo_pem_part {
    const char *pem;
    size_t bytes;
};
/* Splits a PEM text into its certificates without parsing them.
 * FLO_E_SIG_FORMAT: the text has none, one without an end, or more than
 * `max`. */
FLO_MUST_USE int flo_certificates_split(const char *pem, size_t bytes, struct flo_pem_part *out,
                                        size_t max, size_t *count, struct flo_err *err);
/* Writes the file name under which OpenSSL looks for an authority in a folder,
 * as "1a2b3c4d.0".  `out` holds FLO_AUTHORITY_NAME. */
#define FLO_AUTHORITY_NAME 16
FLO_MUST_USE int flo_authority_file_name(const char *pem, size_t bytes, char *out,
                                         struct flo_err *err);

/* A certificate that its authority has revoked. */
struct flo_revoked {
    const char *serial; /* hex */
    uint64_t at_ms;
};
/* Appends the PEM of an authority's list of revoked certificates (CRL).  The
 * list is valid until the authority ends, because brokers refuse every client
 * once a list has expired.  Readers take the list with the later `now_ms`, in
 * whole seconds.  FLO_E_STATE: authority key and certificate do not belong
 * together.  FLO_E_SIG_FORMAT: a serial is not hex. */
FLO_MUST_USE int flo_crl_make(const struct flo_key *authority, const char *authority_pem,
                              size_t authority_bytes, const struct flo_revoked *revoked,
                              size_t count, uint64_t now_ms, struct flo_buf *pem,
                              struct flo_err *err);

#endif
