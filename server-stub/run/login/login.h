/* Login: requests to the identity provider, on a thread of its own. */
#ifndef FLOTILLA_SERVER_RUN_LOGIN_H
#define FLOTILLA_SERVER_RUN_LOGIN_H

#include "server-stub/rest/people/login.h"

struct event_base;
struct flo_asker;
struct flo_oidc_file;

/* Reads and checks oidc.yaml and the secret that it names.  The option --check
 * uses it, too. */
FLO_MUST_USE int flo_oidc_file_open(const char *path, struct flo_oidc_file **out,
                                    struct flo_err *err);
void flo_oidc_file_close(struct flo_oidc_file *file);
const struct flo_login_settings *flo_oidc_file_settings(const struct flo_oidc_file *file);
const char *flo_oidc_file_ca(const struct flo_oidc_file *file);
const char *flo_oidc_file_secret(const struct flo_oidc_file *file); /* "": none */

/* Opens the service by which people log in; flo_asker_desk returns its desk for
 * rest->login.  `file` must outlive the service. */
FLO_MUST_USE int flo_asker_open(const struct flo_oidc_file *file, struct event_base *base,
                                bool is_plain, struct flo_asker **out, struct flo_err *err);
struct flo_login_desk *flo_asker_desk(struct flo_asker *asker);
/* Closes the asker.  A request in progress ends before, within ten seconds. */
void flo_asker_close(struct flo_asker *asker);

#endif
