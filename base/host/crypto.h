/* Keys, signatures and certificates: ECDSA P-256 with SHA-256 (mbedTLS inside).
 * No other file handles asymmetric keys.
 *
 * Objects belong to one thread at a time; a public key is plain data and may
 * be copied.  Randomness is the kernel's (flo_random). */
#ifndef FLOTILLA_HOST_CRYPTO_H
#define FLOTILLA_HOST_CRYPTO_H

#include <flotilla/base.h>

#define FLO_SIGNATURE_BYTES 64       /* the numbers r and s, big-endian */
#define FLO_KEYID_TEXT 65            /* 64 hex digits and a NUL */
#define FLO_PUBLIC_KEY_PEM_MAX 256   /* largest PEM of a public key, with its NUL */
#define FLO_PEM_BYTES_MAX (64 << 10) /* limit for every PEM file that is read */

/* ---- secrets ---- */

/* Compares bytes in constant time: the duration does not tell where they
 * differ. */
bool flo_secret_equal(const void *a, const void *b, size_t bytes);
/* Overwrites the data in a way that the compiler does not optimise away. */
void flo_secret_wipe(void *data, size_t bytes);
/* Overwrites 64 KiB of the stack below the caller.  Earlier calls leave secrets
 * there, and so does the dynamic linker, which saves vector registers at a
 * function's first call. */
void flo_secret_stack_wipe(void);
/* Wipes and frees a buffer with secrets, for FLO_CLEANUP. */
void flo_secret_buf_deinit(struct flo_buf *buf);
/* Reads a file that holds a secret.  The file must be regular, owned by this
 * user or root, and closed to group and others; else FLO_E_CFG_PERM.  The
 * caller frees *data, which is NUL-terminated.  FLO_E_ABSENT, FLO_E_IO_OPEN,
 * FLO_E_IO_READ, FLO_E_META_TOO_LARGE. */
FLO_MUST_USE int flo_secret_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                                 struct flo_err *err);
/* Reads the first line of a secret file, for tokens that this program presents
 * to a server.  Unlike flo_secret_read, root may also read a file of another
 * user, for example a service's user.  That user knows the token already, and
 * could only replace it by another token.  Never use it for keys: the file's
 * owner would choose the key with which root signs. */
FLO_MUST_USE int flo_token_read(const char *path, char *out, size_t bytes, struct flo_err *err);

/* ---- keys ---- */

/* A P-256 public key, whose point is known to be on the curve. */
struct flo_public_key {
    uint8_t point[65];          /* the coordinates: 0x04, x, y */
    char keyid[FLO_KEYID_TEXT]; /* SHA-256 of SubjectPublicKeyInfo in hex */
};
/* A private key. */
struct flo_key;

FLO_MUST_USE int flo_key_generate(struct flo_key **out, struct flo_err *err);
/* Parses a private key: PEM of SEC 1 or PKCS#8, not encrypted, P-256.  Returns
 * FLO_E_SIG_FORMAT for any other text.  `pem` need not be terminated. */
FLO_MUST_USE int flo_key_parse(const char *pem, size_t bytes, struct flo_key **out,
                               struct flo_err *err);
/* Reads a key file with flo_secret_read() and flo_key_parse(). */
FLO_MUST_USE int flo_key_load(const char *path, struct flo_key **out, struct flo_err *err);
/* Largest PEM text of a private key, with its NUL. */
#define FLO_KEY_PEM_MAX 512
/* Writes the key as PEM to `out`, which holds FLO_KEY_PEM_MAX bytes.  The
 * caller wipes it afterwards. */
FLO_MUST_USE int flo_key_pem(const struct flo_key *key, char *out, struct flo_err *err);
/* Writes the key as a PEM file with mode 0600, atomically. */
FLO_MUST_USE int flo_key_save(const struct flo_key *key, const char *path, struct flo_err *err);
/* Wipes and frees the key, which may be NULL. */
void flo_key_free(struct flo_key *key);
/* Calls flo_key_free(*key), for FLO_CLEANUP. */
void flo_key_cleanup(struct flo_key **key);
/* Returns the key's public half, which is valid as long as the key. */
const struct flo_public_key *flo_key_public(const struct flo_key *key);

/* Parses PEM of a SubjectPublicKeyInfo with a P-256 point.  Returns
 * FLO_E_SIG_FORMAT for any other text. */
FLO_MUST_USE int flo_public_key_parse(const char *pem, size_t bytes, struct flo_public_key *out,
                                      struct flo_err *err);
FLO_MUST_USE int flo_public_key_load(const char *path, struct flo_public_key *out,
                                     struct flo_err *err);
/* Writes the key as PEM to `out`, which holds FLO_PUBLIC_KEY_PEM_MAX bytes. */
void flo_public_key_pem(const struct flo_public_key *key, char *out);

/* ---- signatures ---- */

/* Signs SHA-256(data) deterministically (RFC 6979), with the lower one of s
 * and n-s.  `signature` holds FLO_SIGNATURE_BYTES.  Fails only when memory is
 * out. */
FLO_MUST_USE int flo_sign(const struct flo_key *key, const void *data, size_t bytes,
                          uint8_t *signature, struct flo_err *err);
/* Returns 0 when `signature` (r, then s) was made by `key` over SHA-256(data).
 * FLO_E_SIG_FORMAT  not 64 bytes
 * FLO_E_SIG_BAD     of another key or other bytes, or r or s is 0 or >= n */
FLO_MUST_USE int flo_verify(const struct flo_public_key *key, const void *data, size_t bytes,
                            const void *signature, size_t signature_bytes, struct flo_err *err);
/* Tells whether s is at most half of the curve's order.  If (r, s) is valid, so
 * is (r, n-s), which anybody can compute.  So documents accept only the low s.
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

/* Encrypts `data` with AES-256-GCM.  Without the key nobody can read or change
 * `data`, or change the text `about`, which is authenticated but not stored.
 * `out` holds bytes + FLO_SEALED_MORE. */
#define FLO_SEALED_MORE 28 /* bytes of the nonce and the tag */
FLO_MUST_USE int flo_sealed_make(const uint8_t key[FLO_DIGEST_BYTES], const char *about,
                                 const void *data, size_t bytes, uint8_t *out, struct flo_err *err);
/* Decrypts what flo_sealed_make() wrote.  `out` holds bytes - FLO_SEALED_MORE.
 * FLO_E_SIG_FORMAT, FLO_E_SIG_BAD. */
FLO_MUST_USE int flo_sealed_open(const uint8_t key[FLO_DIGEST_BYTES], const char *about,
                                 const uint8_t *data, size_t bytes, uint8_t *out,
                                 struct flo_err *err);

/* ---- certificates ---- */

/* Options for a certificate that is to be issued.  Zero-initialise. */
struct flo_certificate_spec {
    const char *common_name; /* 1 to 64 characters of A-Z a-z 0-9 blank . _ : @ - */
    /* lifetime, 1 to 36500; the certificate ends no later than its authority */
    unsigned days;
    uint64_t life_ms;       /* lifetime in place of `days`, at least 1000; 0: `days` counts */
    bool is_server;         /* true: extended key usage serverAuth */
    bool is_client;         /* true: extended key usage clientAuth */
    const char *const *dns; /* DNS names of the server; at most 16 */
    size_t dns_count;
    const char *const *addresses; /* IPv4 or IPv6 addresses of the server, as texts; at most 16 */
    size_t address_count;
    uint64_t now_ms; /* time of issue; 0: the wall clock; see FLO_BACKDATED_MS */
};
/* Certificates are valid from this long before their issue, because clocks
 * differ. */
#define FLO_BACKDATED_MS UINT64_C(3600000)

/* Contents of a certificate. */
struct flo_certificate {
    char common_name[65];
    char serial[65]; /* hex */
    uint64_t not_before_ms;
    uint64_t not_after_ms;
    bool is_authority;
    struct flo_digest fingerprint; /* SHA-256 of the certificate's DER */
    struct flo_public_key key;
};

/* Appends a certificate signing request as PEM.  Returns FLO_E_USAGE for an
 * invalid common name. */
FLO_MUST_USE int flo_csr_make(const struct flo_key *key, const char *common_name,
                              struct flo_buf *pem, struct flo_err *err);
/* Appends the PEM of a self-signed authority.  Only common_name, days and
 * now_ms of the options count.  Returns FLO_E_USAGE for bad options. */
FLO_MUST_USE int flo_authority_make(const struct flo_key *key,
                                    const struct flo_certificate_spec *spec, struct flo_buf *pem,
                                    struct flo_err *err);
/* Issues a certificate for the key of a signing request and appends the PEM.
 * The request's subject and extensions are ignored; `spec` sets those of the certificate.
 *   FLO_E_SIG_FORMAT  the request is malformed or its key is not P-256
 *   FLO_E_SIG_BAD     the requester does not have the private key
 *   FLO_E_STATE       authority key and certificate do not belong together,
 *                     or the authority has expired
 *   FLO_E_USAGE       bad options */
FLO_MUST_USE int flo_certificate_issue(const struct flo_key *authority, const char *authority_pem,
                                       size_t authority_bytes, const char *csr_pem,
                                       size_t csr_bytes, const struct flo_certificate_spec *spec,
                                       struct flo_buf *pem, struct flo_err *err);
/* Issues a certificate for a public key without a request, as
 * flo_certificate_issue() does. */
FLO_MUST_USE int flo_certificate_issue_for(const struct flo_key *authority,
                                           const char *authority_pem, size_t authority_bytes,
                                           const struct flo_public_key *holder,
                                           const struct flo_certificate_spec *spec,
                                           struct flo_buf *pem, struct flo_err *err);
/* Reads the first certificate of a PEM text.  Returns FLO_E_SIG_FORMAT when it
 * is malformed, not P-256, lacks a start or end of validity, or ends before it
 * begins. */
FLO_MUST_USE int flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                                      struct flo_err *err);
/* Checks that one of these authorities issued the certificate and that it is
 * valid now.  Returns FLO_E_NET_TLS if not. */
FLO_MUST_USE int flo_certificate_verify(const char *pem, size_t bytes, const char *authority_pem,
                                        size_t authority_bytes, struct flo_err *err);
/* Checks who issued a certificate, as flo_certificate_verify() does, but not
 * its dates: the clock may be wrong. */
FLO_MUST_USE int flo_certificate_is_by(const char *pem, size_t bytes, const char *authority_pem,
                                       size_t authority_bytes, struct flo_err *err);

/* ---- authorities ---- */

/* One certificate of a PEM text that has several; borrowed. */
struct flo_pem_part {
    const char *pem;
    size_t bytes;
};
/* Splits a PEM text into its certificates without parsing them.  Returns
 * FLO_E_SIG_FORMAT when the text has no certificate, one without an end, or
 * more than `max`. */
FLO_MUST_USE int flo_certificates_split(const char *pem, size_t bytes, struct flo_pem_part *out,
                                        size_t max, size_t *count, struct flo_err *err);
/* Bytes of an authority's file name, with its NUL. */
#define FLO_AUTHORITY_NAME 16
/* Writes the file name under which OpenSSL looks for an authority in a folder,
 * such as "1a2b3c4d.0".  `out` holds FLO_AUTHORITY_NAME bytes. */
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
 * whole seconds.  Returns FLO_E_STATE when authority key and certificate do not
 * belong together, and FLO_E_SIG_FORMAT when a serial is not hex. */
FLO_MUST_USE int flo_crl_make(const struct flo_key *authority, const char *authority_pem,
                              size_t authority_bytes, const struct flo_revoked *revoked,
                              size_t count, uint64_t now_ms, struct flo_buf *pem,
                              struct flo_err *err);

#endif
