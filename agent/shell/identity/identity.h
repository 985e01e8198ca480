/* Identity of an enrolled device: <state>/identity (contracts/device.md section
 * 6). */
#ifndef FLOTILLA_AGENT_IDENTITY_H
#define FLOTILLA_AGENT_IDENTITY_H

#include "agent/shell/shell.h"

FLO_MUST_USE int flo_identity_load(const struct flo_settings *settings, struct flo_identity *out,
                                   struct flo_err *err);
void flo_identity_deinit(struct flo_identity *identity);
/* Connections use this pair from now on. */
void flo_identity_use(struct flo_identity *identity, size_t place);

/* authorities.c: whom this device believes in TLS. */
#define FLO_AUTHORITIES_MAX 8
#define FLO_AUTHORITY_TEXT 17
struct flo_authority_names {
    char list[FLO_AUTHORITIES_MAX][FLO_AUTHORITY_TEXT]; /* 16 hex digits */
    size_t count;
};
/* The list in PEM, checked.  FLO_E_SIG_FORMAT, FLO_E_NET_TLS: one is none. */
FLO_MUST_USE int flo_authorities_read(const char *pem, size_t bytes,
                                      struct flo_authority_names *out, struct flo_err *err);
/* Believe these from now on, and no others.  *is_news: they were not those
 * before.  The file is whole at any instant. */
FLO_MUST_USE int flo_authorities_write(const struct flo_identity *identity, const char *const *pems,
                                       size_t count, bool *is_news, struct flo_err *err);

#endif
