/* Identity: the identity of an enrolled device, in <state>/identity
 * (contracts/device.md section 6). */
#ifndef FLOTILLA_AGENT_IDENTITY_H
#define FLOTILLA_AGENT_IDENTITY_H

#include "agent/shell/shell.h"

FLO_MUST_USE int flo_identity_load(const struct flo_settings *settings, struct flo_identity *out,
                                   struct flo_err *err);
void flo_identity_deinit(struct flo_identity *identity);
/* Uses the pair (key and certificate) in this place for new connections.  A
 * device has two places for pairs. */
void flo_identity_use(struct flo_identity *identity, size_t place);

/* Largest number of certificate authorities that this device trusts in TLS
 * (authorities.c). */
#define FLO_AUTHORITIES_MAX 8
#define FLO_AUTHORITY_TEXT 17
struct flo_authority_names {
    char list[FLO_AUTHORITIES_MAX][FLO_AUTHORITY_TEXT]; /* 16 hex digits */
    size_t count;
};
/* Reads a list of certificate authorities in PEM, and checks each.
 * FLO_E_SIG_FORMAT, FLO_E_NET_TLS  an entry is no authority */
FLO_MUST_USE int flo_authorities_read(const char *pem, size_t bytes,
                                      struct flo_authority_names *out, struct flo_err *err);
/* Replaces the trusted authorities by this list, atomically on the disk.
 * *is_news: the list differs from the one before. */
FLO_MUST_USE int flo_authorities_write(const struct flo_identity *identity, const char *const *pems,
                                       size_t count, bool *is_news, struct flo_err *err);

#endif
